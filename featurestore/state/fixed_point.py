"""Exact sums: 128-bit fixed point in two numpy arrays, so that adding is associative.

A value is hi * 2**64 + lo, two's complement, counted in units of 2**-scale: 44 binary places for floats,
none for integers. Floats below 2**62 in size are accepted; a float's digits beyond 2**-44 are rounded once,
when it enters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
UInt64s = NDArray[np.uint64]
Floats = NDArray[np.float64]

FLOAT_SCALE = 44
_HALF = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Fixed:
    """n numbers of 128 bits: `hi` carries the sign, `lo` the lower 64 bits.

    `narrow` where it is known that all are numbers of 64 bits, so that nobody has to look.
    """

    hi: Int64s
    lo: UInt64s
    narrow: bool = False

    def __getitem__(self, index: NDArray[np.intp] | slice) -> Fixed:
        return Fixed(self.hi[index], self.lo[index], self.narrow)


def from_floats(values: Floats) -> Fixed:
    """Each value in units of 2**-44, rounded half to even; |value| must stay below 2**62, no NaN."""
    units = np.rint(values * 2.0**FLOAT_SCALE)
    size = np.abs(units)
    if not len(size) or size.max() < 2.0**63:
        whole = units.astype(np.int64)
        return Fixed(whole >> 63, whole.view(np.uint64), narrow=True)
    # Both parts of the magnitude are exact: the first is a whole multiple of 2**64, the rest fits 53 bits.
    high = np.floor(np.ldexp(size, -64))
    low = size - np.ldexp(high, 64)
    return _negated_where(units < 0, high.astype(np.int64), low.astype(np.uint64))


def from_ints(values: Int64s) -> Fixed:
    """Each value in units of 1."""
    return Fixed(values >> 63, values.astype(np.int64).view(np.uint64), narrow=True)


def concatenated(parts: list[Fixed]) -> Fixed:
    """The numbers of all parts, one after the other."""
    return Fixed(
        np.concatenate([part.hi for part in parts]),
        np.concatenate([part.lo for part in parts]),
        narrow=all(part.narrow for part in parts),
    )


def sums_at(values: Fixed, starts: NDArray[np.intp]) -> Fixed:
    """The sum of each run that begins at `starts` (as numpy's reduceat, runs not empty)."""
    if not values.hi.any() and int(np.bitwise_or.reduce(values.lo)) <= _LARGEST // max(len(values.lo), 1):
        lo = np.add.reduceat(values.lo, starts)  # none is negative, and all together stay within 63 bits
        return Fixed(np.zeros(len(lo), dtype=np.int64), lo, narrow=True)
    return _carried(
        np.add.reduceat(values.lo & _HALF, starts),
        np.add.reduceat(values.lo >> _32, starts),
        np.add.reduceat(values.hi, starts),
    )


class RunningSums:
    """Sums over ranges of `values`, exact modulo 2**128, from running sums of their parts."""

    def __init__(self, values: Fixed) -> None:
        whole = values.lo.view(np.int64)
        # Numbers of 64 bits (floats below 2**19) need two running sums, others three.
        self._small = values.narrow or bool((values.hi == whole >> 63).all())
        self._low = _running(values.lo & _HALF)
        self._middle = _running((whole >> 32).view(np.uint64) if self._small else values.lo >> _32)
        self._high = None if self._small else _running(values.hi.view(np.uint64))

    def between(self, starts: Int64s, ends: Int64s) -> Fixed:
        """The sum over [start, end) for each pair; ranges may overlap."""
        low, middle = self._low[ends] - self._low[starts], self._middle[ends] - self._middle[starts]
        if self._high is None:
            upper = middle.view(np.int64) + (low >> _32).view(np.int64)
            return Fixed(upper >> 32, (upper.view(np.uint64) << _32) | (low & _HALF))
        # uint64 and int64 wrap alike, so one kind of running sum serves all three parts.
        return _carried(low, middle, (self._high[ends] - self._high[starts]).view(np.int64))


def magnitude(values: Fixed) -> Fixed:
    """The size of each number, unsigned."""
    return _negated_where(values.hi < 0, values.hi, values.lo)


def to_floats(values: Fixed, *, scale: int) -> Floats:
    """The nearest float64 of each number (ties to even; sizes below 2**117 units)."""
    whole = values.lo.view(np.int64)
    # int64 to float64 rounds to the nearest by itself; a product with a power of two is exact, and faster than ldexp.
    if values.narrow or not (wide := values.hi != whole >> 63).any():
        return whole.astype(np.float64) * 2.0**-scale
    if not wide.all():
        made = whole.astype(np.float64) * 2.0**-scale
        made[wide] = to_floats(values[wide.nonzero()[0]], scale=scale)
        return made
    negative = values.hi < 0
    size = _negated_where(negative, values.hi, values.lo)
    big = np.ldexp(size.hi.astype(np.float64), 64)
    near = size.lo.astype(np.float64)
    # near is lo rounded to 53 bits; what that lost is small and exact in int64 (2**64 itself wraps to 0).
    lost = (size.lo - _as_uint64(near)).view(np.int64).astype(np.float64)
    total = big + near
    # Knuth's two-sum: total + rest is big + near without error, so one last addition rounds only once.
    back = total - big
    rest = (big - (total - back)) + (near - back)
    rounded = np.ldexp(total + (rest + lost), -scale)
    return np.where(negative, -rounded, rounded)


def to_ints(values: Fixed) -> Int64s:
    """The numbers as int64; those beyond it wrap."""
    return values.lo.view(np.int64)


def _negated_where(negative: NDArray[np.bool_], hi: Int64s, lo: UInt64s) -> Fixed:
    flipped_lo = ~lo + np.uint64(1)
    flipped_hi = ~hi + (lo == 0)
    return Fixed(np.where(negative, flipped_hi, hi), np.where(negative, flipped_lo, lo))


def _carried(low: UInt64s, middle: UInt64s, high: Int64s) -> Fixed:
    middle = middle + (low >> _32)
    return Fixed(high + (middle >> _32).astype(np.int64), (low & _HALF) | (middle << _32))


def _running(part: UInt64s) -> UInt64s:
    sums = np.zeros(len(part) + 1, dtype=np.uint64)
    np.cumsum(part, out=sums[1:])
    return sums


def _as_uint64(values: Floats) -> UInt64s:
    whole = np.where(values >= 2.0**64, 0.0, values)
    return whole.astype(np.uint64)
