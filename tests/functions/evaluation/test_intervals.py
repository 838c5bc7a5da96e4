"""The bootstrap's many measures at once, against one measure of repeated rows at a time; the first k; segments."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from eagleray.functions.evaluation.intervals import intervals, percentiles, weighted
from eagleray.functions.evaluation.metric import METRICS, Task, roc_auc
from eagleray.functions.evaluation.segments import binned, segments
from eagleray.functions.evaluation.top import card_precisions, precision_at_k


def sample(rows: int = 400, distinct: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.2).astype(np.float64)
    return labels, np.round(np.clip(0.25 * labels + 0.7 * rng.random(rows), 0, 1) * distinct) / distinct


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("distinct", [4, 1000])
def test_weighted_measures_are_those_of_repeated_rows(distinct: int, clustered: bool) -> None:
    labels, scores = sample(distinct=distinct)
    clusters = np.arange(400) // 8 if clustered else None
    drawn: dict[str, list[float]] = {name: [] for name, one in METRICS.items() if one.task == "classification"}
    drawn["precision_at_k"] = []
    for weights in weighted(labels, "classification", clusters, count=30, seed=5):
        for row in weights:
            rows = np.repeat(np.arange(400), row.astype(int))
            for name, values in drawn.items():
                y, s = labels[rows], scores[rows]
                values.append(precision_at_k(y, s, 25) if name == "precision_at_k" else METRICS[name].compute(y, s))
    found = intervals("classification", labels, scores, k=25, clusters=clusters, count=30, seed=5)
    assert set(found) == set(drawn)
    for name, values in drawn.items():
        assert found[name] == pytest.approx(np.percentile(values, [2.5, 97.5])), name


def test_weighted_errors_are_those_of_repeated_rows() -> None:
    y, noise = np.random.default_rng(0).normal(10, 2, size=(2, 300))
    s = y + 0.3 * noise
    rows = [
        np.repeat(np.arange(300), w.astype(int)) for ws in weighted(y, "regression", None, count=40, seed=1) for w in ws
    ]
    found = intervals("regression", y, s, count=40, seed=1)
    for name in ("rmse", "mae", "r2"):
        expected = np.percentile([METRICS[name].compute(y[r], s[r]) for r in rows], [2.5, 97.5])
        assert found[name] == pytest.approx(expected)


def test_a_resample_keeps_the_classes_or_draws_whole_clusters() -> None:
    labels, _ = sample()
    (weights,) = weighted(labels, "classification", None, count=10, seed=0)
    assert (weights[:, labels > 0.5].sum(axis=1) == labels.sum()).all()
    assert (weights.sum(axis=1) == 400).all()
    clusters = np.arange(400) % 7
    (weights,) = weighted(labels, "classification", clusters, count=10, seed=0)
    assert all(len(set(row[clusters == c])) == 1 for row in weights for c in range(7))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(task: Task) -> None:
    """AUC of two normals a distance of 1 apart, and the error of unit noise; known to the last digit."""
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        if task == "classification":
            labels = np.repeat([0.0, 1.0], 150)
            low, high = intervals(task, labels, rng.normal(labels), count=200, seed=seed)["roc_auc"]
            held += low <= 0.7602 <= high
        else:
            labels = rng.normal(size=300)
            low, high = intervals(task, labels, labels + rng.normal(size=300), count=200, seed=seed)["rmse"]
            held += low <= 1.0 <= high
    assert held >= 33  # 38 expected; fewer than 33 come by chance once in a thousand


def test_clusters_make_wider_intervals_where_rows_repeat_each_other() -> None:
    labels, scores = sample(200)
    y, s, clusters = np.repeat(labels, 10), np.repeat(scores, 10), np.repeat(np.arange(200), 10)
    widths = [np.diff(intervals("classification", y, s, clusters=c, count=300, seed=0)["roc_auc"]).item()
              for c in (None, clusters)]  # fmt: skip
    assert widths[1] > 2 * widths[0]


def test_a_class_that_resamples_miss_gives_no_interval() -> None:
    labels = np.zeros(50)
    labels[:2] = 1
    found = intervals("classification", labels, np.linspace(0, 1, 50), clusters=np.arange(50) // 25, count=50, seed=0)
    assert np.isfinite(found["log_loss"]).all()
    assert np.isnan(percentiles(np.full(10, np.nan))).all()
    assert np.isnan(intervals("classification", np.zeros(50), np.zeros(50), count=50, seed=0)["roc_auc"]).all()


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_bundles_of_many_rows_say_what_rows_say(task: Task, clustered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = sample(6000)
    clusters = np.random.default_rng(1).integers(0, 3000, 6000) if clustered else None
    if clusters is not None:  # what happens to one of a cluster happens to all
        labels, scores = labels[clusters], scores[clusters]
    found = intervals(task, labels, scores, k=100, clusters=clusters, count=1000, seed=0)
    monkeypatch.setattr("eagleray.functions.evaluation.intervals._EXACT_ROWS", 10_000)
    exact = intervals(task, labels, scores, k=100, clusters=clusters, count=1000, seed=1)
    for name, (low, high) in exact.items():
        width = high - low
        assert found[name] == pytest.approx((low, high), abs=0.15 * width), name


@pytest.mark.parametrize("k", [1, 10, 399, 400, 1000])
def test_precision_at_k_is_the_mean_over_how_ties_may_fall(k: int) -> None:
    labels, scores = sample(distinct=6)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(3000):
        order = np.lexsort((rng.random(400), -scores))[:k]
        drawn.append(labels[order].mean())
    assert precision_at_k(labels, scores, k) == pytest.approx(np.mean(drawn), abs=0.02)
    assert np.isnan(precision_at_k(labels[:0], scores[:0], k))


def test_card_precision_looks_at_each_found_card_once() -> None:
    rng = np.random.default_rng(2)
    labels, scores = sample(3000)
    cards, days = rng.integers(0, 90, 3000), rng.integers(0, 12, 3000)
    caught: set[int] = set()
    expected = []
    for day in range(12):
        best: dict[int, tuple[float, bool]] = {}
        for i in np.flatnonzero(days == day):
            score, right = best.get(cards[i], (-1.0, False))
            best[cards[i]] = (max(score, scores[i]), right or labels[i] > 0.5)
        ranked = sorted((c for c in best if c not in caught), key=lambda c: (-best[c][0], c))[:20]
        hits = {c for c in ranked if best[c][1]}
        caught |= hits
        expected.append(len(hits) / 20)
    assert card_precisions(labels, scores, cards, days, k=20).tolist() == pytest.approx(expected)
    assert len(card_precisions(labels[:0], scores[:0], cards[:0], days[:0])) == 0


def test_segments_are_values_or_quarters_and_hold_every_row() -> None:
    labels, scores = sample(1000)
    amount = pl.Series("amount", np.random.default_rng(0).gamma(2, 50, 1000)).set(pl.Series(range(1000)) < 30, None)
    found = segments(amount, labels, scores, task="classification", metric="roc_auc")
    assert [one.rows for one in found][-1] == 30
    assert found[-1].value == "null"
    assert sum(one.rows for one in found) == 1000
    assert len(found) == 5
    first = (amount <= amount.quantile(0.25)).fill_null(False).to_numpy()
    assert found[0].estimate.value == pytest.approx(roc_auc(labels[first], scores[first]), abs=0.02)
    assert found[0].estimate.low < found[0].estimate.value < found[0].estimate.high
    assert found[0].mean_label == pytest.approx(labels[first].mean(), abs=0.02)


def test_texts_and_few_numbers_are_segments_by_value() -> None:
    assert binned(pl.Series([1, 2, None, 2])).to_list() == ["1", "2", "null", "2"]
    assert binned(pl.Series([True, None])).to_list() == ["true", "null"]
    assert binned(pl.Series([timedelta(days=1)])).to_list() == ["1 day, 0:00:00"]
    assert binned(pl.Series([[1], None])).to_list() == ["[1]", "null"]
    assert binned(pl.Series([0.5, None])).to_list() == ["0.5", "null"]
    many = binned(pl.Series([f"c{i % 30}" if i % 2 else "often" for i in range(600)]))
    assert many.n_unique() == 11
    assert (many == "often").sum() == 300
    assert "other" in many.to_list()
    assert binned(pl.Series([float("nan")] * 3 + [float(i) for i in range(20)])).to_list().count("null") == 3
