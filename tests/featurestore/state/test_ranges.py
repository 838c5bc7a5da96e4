"""Ranges and places against plain loops over random columns."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.featurestore.state.extremes import BLOCK, Extremes
from eagleray.featurestore.state.places import Places


@pytest.mark.parametrize("count", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 1000])
def test_extremes_of_any_range(count: int) -> None:
    rng = np.random.default_rng(count)
    column = rng.integers(-50, 50, count)
    starts = rng.integers(0, count + 1, 2000)
    ends = np.minimum(count, starts + rng.integers(0, count + 1, 2000))
    least = Extremes(column, np.minimum, 99).over(starts, ends)
    most = Extremes(column.astype(np.float64), np.maximum, -np.inf).over(starts, ends)
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        inside = column[start:end].tolist()
        assert (least[place], most[place]) == (min(inside, default=99), max(inside, default=-np.inf))


@pytest.mark.parametrize("spread_us", [5, 10**6, 2**61])
def test_places_of_any_moment(spread_us: int) -> None:
    rng = np.random.default_rng(spread_us % 97)
    codes = np.sort(rng.integers(0, 6, 200))
    codes = np.where(codes == 3, 4, codes)  # one key has no event
    ts_us = rng.integers(-spread_us, spread_us, 200)
    order = np.lexsort((ts_us, codes))
    ts_us = ts_us[order]
    asked = rng.integers(-1, 6, 500)
    moments = np.concatenate([rng.choice(ts_us, 250), rng.integers(-2 * spread_us, 2 * spread_us, 250)])
    places = Places(np.searchsorted(codes, np.arange(7)), ts_us)
    for shift in (0, 1, spread_us // 3):
        found = places.reached(asked, moments - shift)
        for code, moment, place in zip(asked.tolist(), (moments - shift).tolist(), found.tolist(), strict=True):
            later = [at for at in range(200) if codes[at] == code and ts_us[at] >= moment]
            end = int(np.searchsorted(codes, code + 1)) if code >= 0 else 0
            assert place == (later[0] if later else end)
