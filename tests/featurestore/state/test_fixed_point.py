"""128-bit sums against Python's whole numbers, and their rounding against exact division."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest

from eagleray.featurestore.state import fixed_point
from eagleray.featurestore.state.fixed_point import Fixed


def whole(values: Fixed) -> list[int]:
    return [int(hi) * 2**64 + int(lo) for hi, lo in zip(values.hi, values.lo, strict=True)]


def of_whole(numbers: list[int]) -> Fixed:
    hi = np.array([number >> 64 for number in numbers], dtype=np.int64)
    return Fixed(hi, np.array([number & (2**64 - 1) for number in numbers], dtype=np.uint64))


def floats(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rng = np.random.default_rng(0)
    edges = [0.1, -0.0, 0.0, -1e-20, 2.0**61, -(2.0**61), -1.0, -(2.0**-44), 2.0**-45, 3 * 2.0**-45]
    return np.concatenate([rng.normal(size=count) * 10.0 ** rng.integers(-8, 17, count), edges])


def test_a_float_becomes_the_nearest_unit() -> None:
    values = floats(2000)
    assert whole(fixed_point.from_floats(values)) == [round(Fraction(value) * 2**44) for value in values]


@pytest.mark.parametrize("largest", [2.0**62, 1000.0])
def test_range_sums_are_exact_and_rounded_once(largest: float) -> None:
    values = floats(2000)
    values = values[np.abs(values) < largest]
    rng = np.random.default_rng(1)
    starts = rng.integers(0, len(values), 500)
    ends = np.minimum(len(values), starts + rng.integers(0, 300, 500))
    sums = fixed_point.RunningSums(fixed_point.from_floats(values)).between(starts, ends)
    units = [round(Fraction(value) * 2**44) for value in values]
    exact = [sum(units[start:end]) for start, end in zip(starts, ends, strict=True)]
    assert whole(sums) == exact
    assert fixed_point.to_floats(sums, scale=44).tolist() == [total / 2**44 for total in exact]


def test_sums_of_runs() -> None:
    values = fixed_point.from_ints(np.array([2**62, 2**62, 2**62, -1, -(2**62)], dtype=np.int64))
    assert whole(fixed_point.sums_at(values, np.array([0, 3]))) == [3 * 2**62, -1 - 2**62]


@pytest.mark.parametrize("largest", [100, 2**31, 2**62])
@pytest.mark.parametrize("least", [0, -(2**40)])
def test_sums_of_random_runs(largest: int, least: int) -> None:
    numbers = np.random.default_rng(2).integers(least, largest, 300)
    starts = np.array([0, 1, 150, 299])
    sums = fixed_point.sums_at(fixed_point.from_ints(numbers), starts)
    exact = [sum(run.tolist()) for run in np.split(numbers, starts[1:])]
    assert whole(sums) == exact
    assert fixed_point.to_floats(sums, scale=44).tolist() == [total / 2**44 for total in exact]


def test_rounding_is_to_the_nearest_with_ties_to_even() -> None:
    draw = random.Random(0)
    numbers = [draw.getrandbits(draw.randint(1, 116)) * draw.choice([1, -1]) for _ in range(20_000)]
    numbers += [2**64 + 2**11 + step for step in (-1, 0, 1)] + [2**64 - 1, 2**65 + 3 * 2**11, -(2**64 + 2**11 + 1)]
    assert fixed_point.to_floats(of_whole(numbers), scale=0).tolist() == [float(number) for number in numbers]
