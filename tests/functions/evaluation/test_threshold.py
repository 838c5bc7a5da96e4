"""Thresholds against trying every one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from eagleray.functions.evaluation.threshold import Capacity, Cost, choose_threshold
from eagleray.runtime.errors import DefinitionError, InputError

DAY_US = 86_400_000_000


def sample(distinct: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(600) < 0.15).astype(np.float32)
    scores = np.round(np.clip(0.3 * labels + 0.7 * rng.random(600), 0, 1) * distinct) / distinct
    return labels, scores, rng.integers(0, 6 * DAY_US, 600)


@pytest.mark.parametrize("distinct", [5, 1000])
@pytest.mark.parametrize("rule", [Cost(1, 50), Cost(1, 1), Cost(50, 1), Cost(0, 1), Cost(1, 0)])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_threshold_costs_less(rule: Cost, distinct: int, seed: int) -> None:
    labels, scores, _ = sample(distinct, seed)
    made = choose_threshold(rule, labels, scores)

    def cost(at: float) -> float:
        wrong = (scores >= at) != (labels > 0.5)
        return float(
            rule.false_positive * (wrong & (labels < 0.5)).sum() + rule.false_negative * (wrong & (labels > 0.5)).sum()
        )

    assert made.cost == cost(made.value) == min(cost(at) for at in (*np.unique(scores), 2.0))
    expected = confusion_matrix(labels, scores >= made.value, labels=[0, 1]).ravel().tolist()
    assert [made.true_negatives, made.false_positives, made.false_negatives, made.true_positives] == expected
    assert made.alerts == (scores >= made.value).sum()


@pytest.mark.parametrize("distinct", [5, 40, 1000])
@pytest.mark.parametrize("cases", [1, 7, 30, 5000])
def test_a_capacity_is_filled_and_not_exceeded_in_the_mean(cases: int, distinct: int) -> None:
    labels, scores, times = sample(distinct)
    made = choose_threshold(Capacity(cases, per="1d"), labels, scores, times)
    days = int((times.max() - times.min()) // DAY_US) + 1
    assert made.alerts <= cases * days
    lower = np.unique(scores)[np.unique(scores) < made.value]
    assert not len(lower) or (scores >= lower[-1]).sum() > cases * days
    counts = np.bincount((times - times.min()) // DAY_US, weights=scores >= made.value, minlength=days)
    assert made.per_period == pytest.approx(counts.mean())
    assert made.most == counts.max()
    assert np.isnan(made.cost)


def test_what_it_would_have_done_is_told_in_json() -> None:
    labels, scores, times = sample(1000)
    made = choose_threshold(Capacity(10), labels, scores, times)
    told = json.loads(json.dumps(made.to_dict()))
    assert told["rule"] == {"cases": 10, "per": "1d"}
    assert told["precision"] == made.precision == made.true_positives / made.alerts
    assert told["recall"] == made.recall == made.true_positives / labels.sum()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Cost(-1, 1), "give costs from zero up"),
        (lambda: Cost(0, 0), "one of them above zero"),
        (lambda: Cost(float("nan"), 1), "give costs from zero up"),
        (lambda: Capacity(0), "give at least 1"),
        (lambda: Capacity(5, per="daily"), "cannot read the duration 'daily'"),
    ],
)
def test_a_rule_that_cannot_work_says_so_where_it_is_declared(make, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        make()


def test_a_capacity_needs_times() -> None:
    labels, scores, _ = sample(10)
    with pytest.raises(InputError, match="give a time_column"):
        choose_threshold(Capacity(10), labels, scores)
