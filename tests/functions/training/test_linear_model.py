"""Logistic and ridge regression against scikit-learn's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from eagleray.functions.training.learner import Fold
from eagleray.functions.training.linear_model import LEARNER, LinearBooster
from eagleray.runtime.errors import InputError


def standardised(x: np.ndarray) -> np.ndarray:
    means = np.nanmean(x, axis=0)
    z = np.where(np.isnan(x), 0.0, x - means)
    spread: np.ndarray = np.sqrt(np.square(z).sum(axis=0) / (~np.isnan(x)).sum(axis=0))
    made: np.ndarray = z / spread
    return made


@pytest.mark.parametrize("l2", [1e-4, 0.01, 1.0])
def test_the_margins_are_those_of_logistic_regression(fold: Fold, l2: float) -> None:
    booster = LEARNER.booster(LEARNER.trainer(fold).refit({"l2": l2}, rounds=50, seed=0))
    z = standardised(fold.x.astype(np.float64))
    oracle = LogisticRegression(C=1 / (l2 * len(z)), tol=1e-8, max_iter=1000).fit(z, fold.y)
    assert booster.margins(fold.x) == pytest.approx(oracle.decision_function(z), abs=2e-3)


@pytest.mark.parametrize("l2", [1e-4, 0.01, 1.0])
def test_the_values_are_those_of_ridge_regression(fold: Fold, l2: float) -> None:
    rng = np.random.default_rng(0)
    y = (50 + np.nan_to_num(fold.x) @ [3.0, -2.0, 0.5, 0.0] + rng.normal(size=len(fold.x))).astype(np.float32)
    numbers = replace(fold, y=y, task="regression", metric="rmse")
    booster = LEARNER.booster(LEARNER.trainer(numbers).refit({"l2": l2}, rounds=50, seed=0))
    z = standardised(fold.x.astype(np.float64))
    oracle = Ridge(alpha=l2 * len(z)).fit(z, y)
    assert booster.margins(fold.x) == pytest.approx(oracle.predict(z), abs=2e-3)


def test_a_null_adds_nothing_and_a_mean_row_gives_the_base_value(fold: Fold) -> None:
    booster = LEARNER.booster(LEARNER.trainer(fold).refit({"l2": 0.01}, rounds=50, seed=0))
    parts = booster.contributions(np.full((1, 4), np.nan, dtype=np.float32))
    assert parts[0, :4].tolist() == [0.0] * 4
    mean = np.nanmean(fold.x, axis=0, keepdims=True).astype(np.float32)
    assert booster.margins(mean) == pytest.approx(parts[:, 4], abs=1e-5)


def test_a_constant_column_and_scales_apart_do_no_harm(fold: Fold) -> None:
    odd = np.column_stack((fold.x * np.array([1e-6, 1e6, 1, 1]), np.full(len(fold.x), 7e8))).astype(np.float32)
    plain, far = (
        LEARNER.trainer(replace(fold, x=np.ascontiguousarray(x))).train({"l2": 0.01}, limit_s=60, seed=0)
        for x in (fold.x, odd)
    )
    assert far.margins == pytest.approx(plain.margins, abs=1e-3)


def test_a_damaged_file_is_refused() -> None:
    with pytest.raises(InputError, match="damaged or of another version"):
        LinearBooster(b'{"format": 2}')
