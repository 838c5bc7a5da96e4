"""Many events as columns, on their way through steps that work on whole tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...runtime.errors import EaglerayError, InputError
from .ports import Floats

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lost:
    """A row that a step failed on."""

    place: int
    step: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Columns:
    """`frame` has the bodies, `places` where each row stood in what was given, `rows` the features by `names` once they
    were read, `scores` what was predicted. `lost` are the rows that failed."""

    frame: pl.DataFrame
    places: Places
    names: tuple[str, ...] = ()
    rows: Floats | None = None
    scores: Floats | None = None
    lost: tuple[Lost, ...] = field(default=())

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Columns:
        """All rows of a frame."""
        return cls(frame, np.arange(frame.height, dtype=np.int64))

    @property
    def height(self) -> int:
        """How many are still on their way."""
        return self.frame.height

    def __getitem__(self, rows: slice) -> Columns:
        return Columns(
            self.frame[rows],
            self.places[rows],
            self.names,
            None if self.rows is None else self.rows[rows],
            None if self.scores is None else self.scores[rows],
        )

    def losing(self, lost: tuple[Lost, ...]) -> Columns:
        """The same, with these as the rows that have failed."""
        return replace(self, lost=lost)

    def kept(self, keep: Sequence[bool], lost: Sequence[Lost] = ()) -> Columns:
        """Only those rows; `lost` of the others have failed."""
        if all(keep):
            return self
        mask = np.asarray(keep, dtype=bool)
        return Columns(
            self.frame.filter(pl.Series(mask)),
            self.places[mask],
            self.names,
            None if self.rows is None else self.rows[mask],
            None if self.scores is None else self.scores[mask],
            (*self.lost, *lost),
        )


def worked(columns: Columns, step: str, work: Callable[[Columns], Columns]) -> Columns:
    """What `work` makes of them; where it fails, again for halves, until each row at fault is alone.

    A server that is away is not asked again for each half.
    """
    if not columns.height:
        return columns
    before = columns.lost
    try:
        made = work(columns.losing(()))
    except Exception as error:  # noqa: BLE001 - whose fault it is shows in the halves
        is_ours = isinstance(error, EaglerayError) and not isinstance(error, InputError)
        if columns.height == 1 or is_ours:
            lost = tuple(Lost(int(place), step, error) for place in columns.places)
            return columns[0:0].losing((*before, *lost))
        middle = columns.height // 2
        halves = [worked(columns[half], step, work) for half in (slice(None, middle), slice(middle, None))]
        return _joined(halves).losing((*before, *halves[0].lost, *halves[1].lost))
    return made.losing((*before, *made.lost))


def _joined(parts: Sequence[Columns]) -> Columns:
    whole = [part for part in parts if part.height] or [parts[0]]
    first = whole[0]
    if len(whole) == 1:
        return first
    return Columns(
        pl.concat([part.frame for part in whole], how="diagonal_relaxed"),
        np.concatenate([part.places for part in whole]),
        first.names,
        _stacked([part.rows for part in whole]),
        _stacked([part.scores for part in whole]),
    )


def _stacked(parts: Sequence[Floats | None]) -> Floats | None:
    found = [part for part in parts if part is not None]
    return np.concatenate(found) if len(found) == len(parts) else None
