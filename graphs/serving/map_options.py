"""How a graph is run over a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.errors import DefinitionError
from ..flows.table_flow import Errors


@dataclass(frozen=True, slots=True)
class MapOptions:
    """`batch_rows` are worked on at once by each of `workers` (None: one a CPU, as the cluster has room).

    With `errors="column"` a row that fails has its error in the column `error`; else it ends the run.
    """

    batch_rows: int = 4096
    workers: int | None = None
    errors: Errors = "raise"

    def __post_init__(self) -> None:
        if self.batch_rows < 1 or (self.workers is not None and self.workers < 1):
            raise DefinitionError(f"map(batch_rows={self.batch_rows}, workers={self.workers}): at least 1")
        if self.errors not in ("raise", "column"):
            raise DefinitionError(f"map(errors={self.errors!r}): write 'raise' or 'column'")
