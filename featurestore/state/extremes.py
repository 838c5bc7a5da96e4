"""Minima or maxima over ranges of a column, each in constant time, with seven times the column's memory.

Short ranges are covered by two blocks of a power of two (a sparse table, Bender 2000); long ones by the rest of their
first block, the beginning of their last one (van Herk 1992), and a sparse table of the blocks between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Numbers = NDArray[Any]
_BITS = 5
BLOCK = 1 << _BITS


class Extremes:
    """`pick` is np.minimum or np.maximum, `nothing` what loses against every value."""

    def __init__(self, column: Numbers, pick: np.ufunc, nothing: float | int) -> None:
        self._pick = pick
        self._nothing = nothing
        self._short = _table(column, pick, most=BLOCK)
        blocks = -(-len(column) // BLOCK)
        padded = np.full(blocks * BLOCK, nothing, dtype=column.dtype)
        padded[: len(column)] = column
        square = padded.reshape(blocks, BLOCK)
        self._begun = pick.accumulate(square, axis=1).reshape(-1)
        self._rest = pick.accumulate(square[:, ::-1], axis=1)[:, ::-1].reshape(-1)
        self._long = _table(self._begun[BLOCK - 1 :: BLOCK], pick, most=blocks)

    def over(self, starts: Int64s, ends: Int64s) -> Numbers:
        """One value a range [start, end); `nothing` for an empty one."""
        best = np.full(len(starts), self._nothing, dtype=self._begun.dtype)
        lengths = ends - starts
        short = np.flatnonzero((lengths > 0) & (lengths <= BLOCK))
        best[short] = _covered(self._short, self._pick, starts[short], ends[short])
        long = np.flatnonzero(lengths > BLOCK)
        if len(long):
            first, last = starts[long], ends[long] - 1
            found = self._pick(self._rest[first], self._begun[last])
            inner, beyond = (first >> _BITS) + 1, last >> _BITS
            some = np.flatnonzero(inner < beyond)
            between = _covered(self._long, self._pick, inner[some], beyond[some])
            found[some] = self._pick(found[some], between)
            best[long] = found
        return best


def _table(column: Numbers, pick: np.ufunc, *, most: int) -> list[Numbers]:
    """Level k holds the extremes of 2**k neighbours."""
    levels = [column]
    while (width := 1 << (len(levels) - 1)) * 2 <= most and len(levels[-1]) > width:
        levels.append(pick(levels[-1][:-width], levels[-1][width:]))
    return levels


def _covered(levels: list[Numbers], pick: np.ufunc, starts: Int64s, ends: Int64s) -> Numbers:
    """Ranges that are not empty, as two blocks each, one from either end; their overlap does no harm."""
    best = np.empty(len(starts), dtype=levels[0].dtype)
    level = np.frexp((ends - starts).astype(np.float64))[1] - 1
    for place, table in enumerate(levels):
        here = np.flatnonzero(level == place)
        best[here] = pick(table[starts[here]], table[ends[here] - (1 << place)])
    return best
