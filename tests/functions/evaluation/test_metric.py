"""Our measures against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from eagleray.functions.evaluation.metric import (
    METRICS,
    average_precision,
    brier,
    log_loss,
    mae,
    measure,
    metric,
    r2,
    rmse,
    roc_auc,
)
from eagleray.runtime.errors import InputError


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("distinct", [2, 7, 10_000], ids=["two scores", "many ties", "no ties"])
def test_classification_measures_agree_with_scikit_learn(seed: int, distinct: int) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random(300) < 0.2).astype(np.float32)
    scores = rng.integers(1, distinct, 300, endpoint=True).astype(np.float32) / (distinct + 1)
    assert roc_auc(labels, scores) == pytest.approx(oracle.roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(oracle.average_precision_score(labels, scores))
    assert log_loss(labels, scores) == pytest.approx(oracle.log_loss(labels, scores.astype(np.float64)))
    assert brier(labels, scores) == pytest.approx(oracle.brier_score_loss(labels, scores.astype(np.float64)))


def test_regression_measures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.normal(size=(2, 100)).astype(np.float32)
    assert rmse(labels, scores) == pytest.approx(oracle.root_mean_squared_error(labels, scores))
    assert mae(labels, scores) == pytest.approx(oracle.mean_absolute_error(labels, scores))
    assert r2(labels, scores) == pytest.approx(oracle.r2_score(labels, scores))
    assert np.isnan(r2(np.ones(3), np.ones(3)))


def test_a_perfect_and_a_useless_score() -> None:
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    assert average_precision(labels, labels) == roc_auc(labels, labels) == 1.0
    assert average_precision(labels, np.zeros(4)) == roc_auc(labels, np.zeros(4)) == 0.5


def test_a_score_that_is_no_number_has_no_measure() -> None:
    labels, scores = np.array([0.0, 1.0, 1.0]), np.array([0.1, np.nan, 0.2], dtype=np.float32)
    assert np.isnan(average_precision(labels, scores))
    assert np.isnan(roc_auc(labels, scores))


def test_log_loss_of_a_sure_mistake_is_finite() -> None:
    assert np.isfinite(log_loss(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


@pytest.mark.parametrize("labels", [np.zeros(3), np.ones(3)], ids=["negatives", "positives"])
def test_one_class_has_no_auc(labels: np.ndarray) -> None:
    assert np.isnan(roc_auc(labels, np.array([0.1, 0.2, 0.3])))


def test_no_positive_has_no_average_precision() -> None:
    assert np.isnan(average_precision(np.zeros(3), np.array([0.1, 0.2, 0.3])))


def test_loss_turns_every_metric_so_that_less_is_better() -> None:
    assert metric("roc_auc").loss(0.9) == pytest.approx(0.1)
    assert metric("rmse").loss(2.5) == 2.5


def test_measure_gives_the_metrics_of_the_task() -> None:
    labels = np.array([0.0, 1.0])
    assert set(measure("regression", labels, labels)) == {"rmse", "mae", "r2"}
    assert set(measure("classification", labels, labels)) == set(METRICS) - {"rmse", "mae", "r2", "ndcg"}


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'roc_auc'"):
        metric("rocauc")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ndcg@10", "no metric 'ndcg@10': NDCG of the first 10 places is 'ndcg_10'"),
        ("ndcg10", "is 'ndcg_10'"),
        ("ndcg_010", "is 'ndcg_10'"),
        ("ndcg_0", "metric 'ndcg_0' counts no place: give 1 or more, as in 'ndcg_10'"),
        ("ndcg_", "did you mean 'ndcg'"),
        (roc_auc, "metric is <function roc_auc .*>: give a name, one of 'average_precision', 'roc_auc'"),
    ],
)
def test_what_is_nearly_a_cut_says_how_it_is_written(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        metric(name)


def test_a_cut_is_measured_beside_the_metrics_of_its_task() -> None:
    labels = np.array([2.0, 0.0, 1.0])
    assert set(measure("ranking", labels, labels, np.zeros(3, dtype=np.int64), also="ndcg_2")) == {"ndcg", "ndcg_2"}
    assert set(measure("ranking", labels, labels, also="ndcg")) == {"ndcg"}
