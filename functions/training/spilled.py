"""All rows of a table on disk, as trainers read them: float32, a slice of rows at a time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ...runtime.errors import InputError, StorageError
from .blocks import BLOCK_ROWS, Blocks
from .learner import Rows


@dataclass(frozen=True, slots=True)
class Spilled:
    """Rows x `width` features in `folder`, with a label each; read through files, so that memory holds a slice only."""

    folder: Path
    rows: int
    width: int

    def x(self, start: int, stop: int) -> Rows:
        """The features of rows `start` up to `stop`."""
        return self._read("x", start, stop, self.width).reshape(-1, self.width)

    def y(self, start: int = 0, stop: int | None = None) -> Rows:
        """Their labels; all of them by default (4 bytes a row)."""
        return self._read("y", start, self.rows if stop is None else stop, 1)

    def slices(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, int]]:
        """From where to where, so many rows at a time."""
        return ((start, min(start + rows, self.rows)) for start in range(0, self.rows, rows))

    def _read(self, name: str, start: int, stop: int, width: int) -> Rows:
        found: Rows = np.fromfile(self.folder / name, np.float32, (stop - start) * width, offset=4 * start * width)
        return found


@contextmanager
def spilled(source: Blocks, features: Sequence[str], label: str) -> Iterator[Spilled]:
    """The table's features and label on disk while the block lasts: 4 bytes a value in the folder for temporary files.

    Raises `InputError` for what no trainer takes (infinite values, an unknown label), `StorageError` for a full disk.
    """
    folder = Path(tempfile.mkdtemp(prefix="eagleray-rows-"))
    rows = 0
    try:
        with (folder / "x").open("wb") as x, (folder / "y").open("wb") as y:
            for block in source.read((*features, label)):
                numbers = _numbers(block, features)
                labels = block[label].cast(pl.Float32).fill_null(np.nan).to_numpy()
                if not np.isfinite(labels).all():
                    raise InputError(f"label {label!r} is unknown in some rows: drop them first")
                numbers.tofile(x)
                labels.tofile(y)
                rows += block.height
        yield Spilled(folder, rows, len(features))
    except OSError as problem:
        raise StorageError(f"cannot keep the rows in {folder}: {problem.strerror or problem}") from problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _numbers(block: pl.DataFrame, features: Sequence[str]) -> Rows:
    made = np.empty((block.height, len(features)), dtype=np.float32)
    for i, name in enumerate(features):
        made[:, i] = block[name].cast(pl.Float32).fill_null(np.nan).to_numpy()
        if np.isinf(made[:, i]).any():
            raise InputError(f"columns hold infinite values: {name!r}; make them null or ignore them")
    return made
