"""Weights where they help on rows they were not chosen by, a plain mean where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.functions.evaluation.metric import metric
from eagleray.functions.training.ensemble import choose
from eagleray.functions.training.stacking import weighted

RMSE, AUC = metric("rmse"), metric("roc_auc")


def noisy(seed: int, *deviations: float, rows: int = 2000) -> tuple[np.ndarray, dict[int, np.ndarray], np.ndarray]:
    """Labels, forecasts whose errors have those deviations by trial number, and labels of as many new rows."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=rows).astype(np.float32)
    return (
        truth,
        {
            number: truth + rng.normal(scale=scale, size=rows).astype(np.float32)
            for number, scale in enumerate(deviations)
        },
        truth,
    )


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_those_of_the_errors_where_members_are_unequal(seed: int) -> None:
    labels, margins, _ = noisy(seed, 0.5, 1.0)
    found = weighted([0, 1], margins=margins, labels=labels, metric=RMSE, most=3)
    # The best weights of independent errors go with one over their variances: .8 and .2.
    assert found[0] == pytest.approx(0.8, abs=0.11)
    assert sum(found.values()) == pytest.approx(1)
    new, again, _ = noisy(seed + 100, 0.5, 1.0)
    ours = RMSE.compute(new, found.get(0, 0.0) * again[0] + found.get(1, 0.0) * again[1])
    plain, _ = choose([0, 1], margins=margins, labels=labels, metric=RMSE, most=3)
    assert ours < 0.97 * RMSE.compute(new, np.mean([again[number] for number in plain], axis=0))


def test_equals_keep_their_plain_mean() -> None:
    kept = 0
    for seed in range(40):
        labels, margins, _ = noisy(seed, 1.0, 1.0, 1.0, rows=300)
        found = weighted([0, 1, 2], margins=margins, labels=labels, metric=RMSE, most=3)
        kept += len(found) == 3 and set(found.values()) == {1 / 3}
    assert kept >= 36  # one in ten may pass for better


def test_no_more_members_than_allowed_and_one_needs_no_weights() -> None:
    labels, margins, _ = noisy(0, 0.6, 0.7, 0.8, 0.9)
    assert len(weighted([0, 1, 2, 3], margins=margins, labels=labels, metric=RMSE, most=2)) == 2
    assert weighted([0, 1, 2, 3], margins=margins, labels=labels, metric=RMSE, most=1) == {0: 1.0}


def test_parts_without_a_positive_leave_the_plain_mean() -> None:
    _labels, margins, _ = noisy(0, 0.5, 1.0, rows=200)
    few = np.zeros(200, dtype=np.float32)
    few[:3] = 1
    chosen, _ = choose([0, 1], margins=margins, labels=few, metric=AUC, most=2)
    assert weighted([0, 1], margins=margins, labels=few, metric=AUC, most=2) == dict.fromkeys(chosen, 1 / len(chosen))


def test_the_same_seed_gives_the_same_weights() -> None:
    labels, margins, _ = noisy(3, 0.5, 0.8, 1.0)
    found = [weighted([0, 1, 2], margins=margins, labels=labels, metric=RMSE, most=3, seed=9) for _ in range(2)]
    assert found[0] == found[1]
