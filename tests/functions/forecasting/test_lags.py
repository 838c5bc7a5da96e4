"""What is known of a series at a moment, against plain loops; nothing is younger than the moment."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eagleray.functions.forecasting import lags


def naive(values: list[float], moment: int, step: int, seasons: tuple[int, ...]) -> list[float]:
    def mean(end: int, width: int) -> float:
        there = [values[i] for i in range(max(0, end + 1 - width), end + 1) if not math.isnan(values[i])]
        return sum(there) / len(there) if there else math.nan

    width = min(seasons, default=5)
    level = mean(moment, width)
    long = [values[i] for i in range(max(0, moment + 1 - 4 * width), moment + 1) if not math.isnan(values[i])]
    spread = float(np.std(long)) if long else math.nan
    row = [step, level, values[moment] - level, mean(moment, 3) - level, mean(moment, 4 * width) - level]
    row += [level - mean(moment - width, width), spread]
    for season in seasons:
        place = moment + step
        while place > moment:
            place -= season
        cycles = [values[place - i * season] for i in range(3) if place - i * season >= 0]
        there = [value for value in cycles if not math.isnan(value)]
        row.append((cycles[0] if place >= 0 else math.nan) - level)
        row.append((sum(there) / len(there) if there else math.nan) - level)
    return row


@pytest.mark.parametrize("seasons", [(), (7,), (4, 12)])
def test_it_is_what_loops_find(seasons: tuple[int, ...]) -> None:
    draw = np.random.default_rng(5)
    values = draw.normal(10, 3, 60)
    values[draw.integers(0, 60, 9)] = np.nan
    moments, steps = draw.integers(0, 50, 200), draw.integers(1, 10, 200)
    made, level = lags.known(values, moments, steps, seasons)
    assert made.shape == (200, len(lags.names(seasons)))
    for row, (moment, step) in enumerate(zip(moments.tolist(), steps.tolist(), strict=True)):
        assert made[row] == pytest.approx(naive(values.tolist(), moment, step, seasons), nan_ok=True)
    assert np.array_equal(level, made[:, 1], equal_nan=True)


def test_what_comes_after_the_moment_changes_nothing() -> None:
    values = np.arange(40.0)
    other = np.where(np.arange(40) > 20, -1e9, values)
    moments, steps = np.full(9, 20), np.arange(1, 10)
    first, second = (lags.known(one, moments, steps, (7,))[0] for one in (values, other))
    assert np.array_equal(first, second, equal_nan=True)
