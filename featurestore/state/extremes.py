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
        self._short = _Covers(column, pick, most=BLOCK)
        blocks = -(-len(column) // BLOCK)
        padded = np.full(blocks * BLOCK, nothing, dtype=column.dtype)
        padded[: len(column)] = column
        square = padded.reshape(blocks, BLOCK)
        self._begun = pick.accumulate(square, axis=1).reshape(-1)
        self._rest = pick.accumulate(square[:, ::-1], axis=1)[:, ::-1].reshape(-1)
        self._long = _Covers(self._begun[BLOCK - 1 :: BLOCK], pick, most=blocks)

    def over(self, starts: Int64s, ends: Int64s) -> Numbers:
        """One value a range [start, end); `nothing` for an empty one."""
        lengths = ends - starts
        if not len(self._begun) or not len(lengths):
            return np.full(len(starts), self._nothing, dtype=self._begun.dtype)
        # All at once as if none were longer than a block, then those that are.
        best = self._short.over(starts, ends, np.minimum(lengths, BLOCK))
        if lengths.min() <= 0:
            best[lengths <= 0] = self._nothing
        long = np.flatnonzero(lengths > BLOCK)
        if len(long):
            first, last = starts[long], ends[long] - 1
            found = self._pick(self._rest[first], self._begun[last])
            inner, beyond = (first >> _BITS) + 1, last >> _BITS
            some = np.flatnonzero(inner < beyond)
            inner, beyond = inner[some], beyond[some]
            found[some] = self._pick(found[some], self._long.over(inner, beyond, beyond - inner))
            best[long] = found
        return best


class _Covers:
    """Ranges of up to `most` entries as two blocks of a power of two each, one from either end: they may overlap.

    The blocks' extremes lie level after level in one array, so any mixture of lengths is picked from it in one go.
    """

    def __init__(self, column: Numbers, pick: np.ufunc, *, most: int) -> None:
        levels = [column]
        while (width := 1 << (len(levels) - 1)) * 2 <= most and len(levels[-1]) > width:
            levels.append(pick(levels[-1][:-width], levels[-1][width:]))
        self._pick = pick
        self._blocks = np.concatenate([*levels, levels[-1][:1]])  # an empty range at the end looks at one entry more
        begins = np.cumsum([0, *map(len, levels)])
        level = np.frexp(np.arange(most + 1).astype(np.float64))[1] - 1
        level[0] = 0
        # By length: where its level begins, and that less the width of its blocks.
        self._first = begins[np.minimum(level, len(levels) - 1)]
        self._last = self._first - (1 << level)

    def over(self, starts: Int64s, ends: Int64s, lengths: Int64s) -> Numbers:
        """One value a range; of one that is longer than it is said to be, something of its entries."""
        found: Numbers = self._pick(
            self._blocks[self._first[lengths] + starts], self._blocks[self._last[lengths] + ends]
        )
        return found
