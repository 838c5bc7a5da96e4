"""Variance of exact sums: squares as 256-bit whole numbers in two 128-bit halves, so nothing cancels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .fixed_point import Fixed, magnitude

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def squares(values: Fixed) -> tuple[Fixed, Fixed]:
    """Each value squared, as (high, low): high * 2**64 + low; |value| must stay below 2**84 units."""
    size = magnitude(values)
    high, low = size.hi.view(np.uint64), size.lo
    low_high, low_low = _product(low, low)
    cross_high, cross_low = _product(high, low)
    # (high * 2**64 + low)**2 = high**2 * 2**128 + 2 * high * low * 2**64 + low**2
    doubled = cross_low << np.uint64(1)
    carry = cross_low >> np.uint64(63)
    upper = doubled + low_high
    carry = carry + (upper < doubled)
    top = high * high + (cross_high << np.uint64(1)) + carry
    return Fixed(top.view(np.int64), upper), Fixed(np.zeros(len(low), dtype=np.int64), low_low)


def variances(count: NDArray[np.int64], total: Fixed, high: Fixed, low: Fixed, scale: int) -> NDArray[np.float64]:
    """The sample variance of each set of values in units of 2**-scale, correctly rounded; 0 where count < 2."""
    made = np.zeros(len(count))
    parts = zip(
        *(column.tolist() for column in (count, total.hi, total.lo, high.hi, high.lo, low.hi, low.lo)), strict=True
    )
    for place, (n, sum_hi, sum_lo, a_hi, a_lo, b_hi, b_lo) in enumerate(parts):
        if n > 1:
            # Python's whole numbers have no size, and their quotient is rounded once.
            whole = (sum_hi << 64) + sum_lo
            squared = (((a_hi << 64) + a_lo) << 64) + (b_hi << 64) + b_lo
            made[place] = (n * squared - whole * whole) / ((n * (n - 1)) << (2 * scale))
    return made


def deviations(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The square root of each."""
    return np.array([math.sqrt(value) for value in variance.tolist()], dtype=np.float64)


def _product(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """a * b as (high, low) halves of 64 bits."""
    a_high, a_low, b_high, b_low = a >> _32, a & _LOW, b >> _32, b & _LOW
    low = a_low * b_low
    first, second = a_high * b_low, a_low * b_high
    middle = (low >> _32) + (first & _LOW) + (second & _LOW)
    high = a_high * b_high + (first >> _32) + (second >> _32) + (middle >> _32)
    return high, (middle << _32) | (low & _LOW)
