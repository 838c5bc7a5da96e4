"""What a model keeps of its training rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eagleray.functions.models.feature_profile import FeatureProfile, profile_of


def test_a_profile_has_the_figures_of_the_finite_values() -> None:
    column = np.array([3.0, np.nan, 1.0, np.inf, 2.0, 4.0], np.float32)
    found = profile_of(np.column_stack([column, np.full(6, np.nan, np.float32)]), ["a", "empty"])
    one = found["a"]
    assert (one.rows, one.nulls, one.infinite, one.mean) == (6, 1, 1, 2.5)
    assert (one.quantiles[0], one.quantiles[50], one.quantiles[-1]) == (1.0, 2.0, 4.0)
    assert set(one.quantiles) == {1.0, 2.0, 3.0, 4.0}, "values that were there"
    assert found["empty"] == FeatureProfile(6, 6, 0, 0.0, 0.0, ())
    assert {name: FeatureProfile.from_dict(json.loads(json.dumps(p.to_dict()))) for name, p in found.items()} == found


def test_of_many_rows_a_sample_gives_the_quantiles_and_all_of_them_the_ends() -> None:
    values = np.random.default_rng(1).normal(size=200_000)
    values[123_457] = 50.0
    one = profile_of(values[:, None], ["a"])["a"]
    assert (one.rows, one.quantiles[-1], one.quantiles[0]) == (200_000, 50.0, values.min())
    inner = np.quantile(values, np.linspace(0, 1, 101)[5:-5])
    assert np.abs(np.array(one.quantiles[5:-5]) - inner).max() < 0.05


def test_a_sample_that_misses_the_few_values_there_are_takes_them() -> None:
    column = np.full(400_000, np.nan)
    column[7] = 5.0
    assert profile_of(column[:, None], ["rare"])["rare"].quantiles == pytest.approx((5.0,) * 101)
