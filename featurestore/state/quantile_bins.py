"""Quantiles: counts in bins whose width is a fixed share of the value, so that merging is adding.

DDSketch (Masson et al. 2019), with bins cut out of the float's own bits: an octave holds 64 of them, half a bin is at
most 0.8 % of its values.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]
_OCTAVE = 64
_SHIFT = 52 - 6  # of the mantissa's 52 bits, six tell bins apart


def bins(values: Floats) -> Int64s:
    """The bin of each value (no NaN): ascending with the value, negative for negative ones; 0 below 2**-1022."""
    size = np.abs(values).view(np.int64) >> _SHIFT
    size[size < _OCTAVE] = 0
    return np.where(values < 0, -size, size)


def representatives(numbers: Int64s) -> Floats:
    """The middle of each bin."""
    size = np.abs(numbers)
    low, high = (size << _SHIFT).view(np.float64), ((size + 1) << _SHIFT).view(np.float64)
    middle = np.where(size == 0, 0.0, low + (high - low) / 2)
    return np.where(numbers < 0, -middle, middle)


def quantiles(ends: Int64s, numbers: Int64s, counts: Int64s, quantile: Fraction) -> tuple[Floats, NDArray[np.bool_]]:
    """The value at rank floor(quantile * (n - 1)) of each list, and whether there is one."""
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
    present = ends > starts
    if not len(numbers):
        return np.zeros(len(ends)), present
    running = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    total = running[ends] - running[starts]
    rank = quantile.numerator * np.maximum(total - 1, 0) // quantile.denominator
    place = np.searchsorted(running[1:], running[starts] + rank, side="right")
    found = representatives(numbers[np.minimum(place, len(numbers) - 1)])
    return np.where(present, found, 0.0), present
