"""State of varying size: a list of records an entry, held as flat columns and where each entry's list ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Flat = tuple[NDArray[Any], ...]
EXPANDED_AT_ONCE = 2_000_000  # records; bounds what overlapping ranges cost in memory


@dataclass(frozen=True, slots=True)
class Records:
    """n lists, one after the other in `columns` (equal lengths); `ends` has one entry a list."""

    ends: Int64s
    columns: Flat

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: NDArray[np.intp] | slice) -> Records:
        bounds = self.bounds
        starts, ends = bounds[:-1][index], bounds[1:][index]
        places = expanded(starts, ends)
        return Records(np.cumsum(ends - starts), tuple(column[places] for column in self.columns))

    @property
    def bounds(self) -> Int64s:
        """Where each list begins, and where the last one ends."""
        return np.concatenate([np.zeros(1, dtype=np.int64), self.ends])

    @property
    def counts(self) -> Int64s:
        """The length of each list."""
        return np.diff(self.ends, prepend=0)

    @property
    def groups(self) -> Int64s:
        """The list of each record."""
        return np.repeat(np.arange(len(self)), self.counts)

    def filtered(self, kept: NDArray[np.bool_]) -> Records:
        """Without the records where `kept` is False."""
        if kept.all():
            return self
        running = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kept)])
        return Records(running[self.ends], tuple(column[kept] for column in self.columns))


def of_groups(groups: Int64s, columns: Flat, count: int) -> Records:
    """`count` lists from records whose `groups` ascend."""
    return Records(np.cumsum(np.bincount(groups, minlength=count)), columns)


def empty(like: Records, count: int) -> Records:
    """`count` lists with nothing in them."""
    return Records(np.zeros(count, dtype=np.int64), tuple(column[:0] for column in like.columns))


def concatenated(parts: list[Records]) -> Records:
    """The lists of all parts, one after the other."""
    widths = [len(part.columns[0]) for part in parts]
    before = np.cumsum([0, *widths[:-1]])
    ends = np.concatenate([part.ends + shift for part, shift in zip(parts, before.tolist(), strict=True)])
    columns = zip(*(part.columns for part in parts), strict=True)
    return Records(ends, tuple(np.concatenate(column) for column in columns))


def spread(records: Records, places: NDArray[np.intp], count: int) -> Records:
    """Lists put at `places` (ascending) among `count`; nothing elsewhere."""
    counts = np.zeros(count, dtype=np.int64)
    counts[places] = records.counts
    return Records(np.cumsum(counts), records.columns)


def expanded(starts: Int64s, ends: Int64s) -> Int64s:
    """Every position of [start, end), range after range."""
    lengths = ends - starts
    total = int(lengths.sum())
    shifts = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return shifts + np.arange(total)


def chunks(starts: Int64s, ends: Int64s) -> Iterator[slice]:
    """The ranges in groups that hold some `EXPANDED_AT_ONCE` records together."""
    running = np.cumsum(ends - starts)
    begin = 0
    while begin < len(starts):
        done = int(running[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(running, done + EXPANDED_AT_ONCE, side="right")))
        yield slice(begin, end)
        begin = end
