"""All rows of a table on disk, as trainers read them: float32, a slice of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ...runtime.errors import InputError, StorageError
from ...runtime.scratch import scratch
from .blocks import BLOCK_ROWS, Blocks
from .learner import Rows

_PAGES = 16  # would fill the bound
_FEWEST_PAGE_ROWS = 256
_MOST_SAMPLED = 262_144  # so that a bin's share of all rows is known to a tenth of it even among a thousand bins


@dataclass(frozen=True, slots=True)
class Spilled:
    """Rows x `width` features in `folder`, with a label each; read through files, so that memory holds a slice only."""

    folder: Path
    rows: int
    width: int
    memory_bytes: int

    @property
    def page_rows(self) -> int:
        """How many rows to have in memory at once: a sixteenth of the bound as float32."""
        return max(_FEWEST_PAGE_ROWS, self.memory_bytes // (_PAGES * 4 * self.width))

    def x(self, start: int, stop: int) -> Rows:
        """The features of rows `start` up to `stop`."""
        return self._read("x", start, stop, self.width).reshape(-1, self.width)

    def y(self, start: int = 0, stop: int | None = None) -> Rows:
        """Their labels; all of them by default (4 bytes a row)."""
        return self._read("y", start, self.rows if stop is None else stop, 1)

    def slices(self, rows: int | None = None) -> Iterator[tuple[int, int]]:
        """From where to where, so many rows at a time; a page by default."""
        step = rows or self.page_rows
        return ((start, min(start + step, self.rows)) for start in range(0, self.rows, step))

    def sample(self, seed: int) -> Rows:
        """The features of about 262,144 rows, or as many as a quarter of the bound holds, each as likely as another."""
        share = min(_MOST_SAMPLED, _PAGES // 4 * self.page_rows) / self.rows
        drawn = np.random.default_rng(seed)
        parts = [self.x(*page)[drawn.random(page[1] - page[0]) < share] for page in self.slices(BLOCK_ROWS)]
        found: Rows = np.concatenate(parts)
        return found

    def _read(self, name: str, start: int, stop: int, width: int) -> Rows:
        found: Rows = np.fromfile(self.folder / name, np.float32, (stop - start) * width, offset=4 * start * width)
        return found


@contextmanager
def spilled(source: Blocks, features: Sequence[str], label: str, *, memory_bytes: int) -> Iterator[Spilled]:
    """The table's features and label on disk while the block lasts: 4 bytes a value in the folder for temporary files.

    Raises `InputError` for what no trainer takes (infinite values, an unknown label), `StorageError` for a full disk.
    """
    where = "the folder for temporary files"
    try:
        with scratch("rows") as folder:
            where, rows = str(folder), 0
            with (folder / "x").open("wb") as x, (folder / "y").open("wb") as y:
                for block in source.read((*features, label)):
                    _numbers(block, features).tofile(x)
                    _labels(block[label]).tofile(y)
                    rows += block.height
            yield Spilled(folder, rows, len(features), memory_bytes)
    except OSError as problem:
        raise StorageError(f"cannot keep the rows in {where}: {problem.strerror or problem}") from problem


def _numbers(block: pl.DataFrame, features: Sequence[str]) -> Rows:
    made = np.empty((block.height, len(features)), dtype=np.float32)
    for i, name in enumerate(features):
        made[:, i] = block[name].cast(pl.Float32).fill_null(np.nan).to_numpy()
        if np.isinf(made[:, i]).any():
            raise InputError(f"columns hold infinite values: {name!r}; make them null or ignore them")
    return made


def _labels(column: pl.Series) -> Rows:
    found: Rows = column.cast(pl.Float32).fill_null(np.nan).to_numpy()
    if not np.isfinite(found).all():
        raise InputError(f"label {column.name!r} is unknown in some rows: drop them first")
    return found
