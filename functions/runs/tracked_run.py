"""What `.run` gives back: the function's value, and what is kept of the run."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from ...runtime.settings import Settings
from .recording import LOG
from .run import Run

if TYPE_CHECKING:
    from .mlflow_runs import MLflowRuns

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class TrackedRun(Generic[R]):
    """A run that has ended; `record` is what MLflow keeps of it."""

    value: R
    record: Run
    settings: Settings = field(repr=False)

    @property
    def id(self) -> str:
        """MLflow's id of the run; `eagleray runs show ID` shows it."""
        return self.record.id

    @property
    def params(self) -> Mapping[str, str | int | float]:
        """The arguments, and what `log_param` added; texts, as MLflow keeps them."""
        return self.record.params

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last value of each metric."""
        return self.record.metrics

    @property
    def tags(self) -> Mapping[str, str]:
        """Function, code hash, git commit and the like."""
        return self.record.tags

    @property
    def status(self) -> str:
        """FINISHED."""
        return self.record.status

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return self.record.duration_s or 0.0

    def logs(self) -> str:
        """What the function printed and logged."""
        return (self._runs().artifact(self.id, LOG) or b"").decode()

    def artifacts(self) -> list[str]:
        """The paths of the run's files."""
        return self._runs().artifacts(self.id)

    def artifact(self, path: str) -> bytes | None:
        """The content of one of the run's files; None where it has no such file."""
        return self._runs().artifact(self.id, path)

    def _runs(self) -> MLflowRuns:
        from .tracking import run_store

        return run_store(self.settings)

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        head = f"{self.record.name} · {self.status} · {self.duration_s:.2f} s"
        rows = {"run": self.id, "experiment": self.record.experiment, **self.params, **self.metrics}
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in rows.items()
        )
        return f"<table><caption><b>{html.escape(head)}</b></caption>{cells}</table>"
