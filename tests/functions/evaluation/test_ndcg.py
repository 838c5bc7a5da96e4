"""NDCG against a naive count, scikit-learn's, and what it is at the ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from eagleray.functions.evaluation.metric import metric
from eagleray.functions.evaluation.ndcg import ndcg, ndcg_each, ndcg_interval


def naive(labels: np.ndarray, scores: np.ndarray, queries: np.ndarray) -> float:
    """No ties: every place's gain over its discount, against the best order's."""
    found = []
    for query in np.unique(queries):
        rows = queries == query
        ordered = [grade for _, grade in sorted(zip(-scores[rows], labels[rows], strict=True))]
        best = sorted(labels[rows], reverse=True)
        sums = [sum((2**g - 1) / math.log2(i + 2) for i, g in enumerate(one)) for one in (ordered, best)]
        if sums[1] > 0:
            found.append(sums[0] / sums[1])
    return sum(found) / len(found) if found else math.nan


@pytest.mark.parametrize("seed", range(10))
def test_it_agrees_with_a_naive_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = rng.integers(0, 12, 100)
    labels = rng.integers(0, 5, 100) * (queries != 3)  # one query has no grade above 0
    scores = rng.permutation(100) / 7
    assert ndcg(labels, scores, queries) == pytest.approx(naive(labels, scores, queries))
    assert metric("ndcg").of_queries(queries).compute(labels, scores) == ndcg(labels, scores, queries)
    assert np.isnan(ndcg_each(labels, scores, queries)[3])


@pytest.mark.parametrize("seed", range(10))
def test_ties_share_their_places_as_in_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = np.repeat(np.arange(5), 20)[rng.permutation(100)]
    labels, scores = rng.integers(0, 4, 100).astype(float), rng.integers(0, 4, 100).astype(np.float32)
    for query, value in enumerate(ndcg_each(labels, scores, queries)):
        rows = queries == query
        assert value == pytest.approx(ndcg_score([2.0 ** labels[rows] - 1], [scores[rows]]))


@pytest.mark.parametrize("k", [1, 2, 3, 10, 19, 20, 50])
@pytest.mark.parametrize("scores", ["distinct", "tied", "all one"])
def test_a_cut_agrees_with_scikit_learn_across_ties_too(k: int, scores: str) -> None:
    rng = np.random.default_rng(k)
    queries = np.repeat(np.arange(5), 20)[rng.permutation(100)]
    labels = rng.integers(0, 4, 100).astype(float)
    kinds = {"distinct": rng.permutation(100), "tied": rng.integers(0, 4, 100), "all one": np.zeros(100)}
    given = kinds[scores].astype(np.float32)
    each = ndcg_each(labels, given, queries, k=k)
    for query, value in enumerate(each):
        rows = queries == query
        assert value == pytest.approx(ndcg_score([2.0 ** labels[rows] - 1], [given[rows]], k=k))
    cut = metric(f"ndcg_{k}")
    assert cut.of_queries(queries).compute(labels, given) == pytest.approx(each.mean())
    one = labels[queries == 0], given[queries == 0]
    assert cut.compute(*one) == pytest.approx(each[0])
    if k >= 20:
        assert each.tolist() == ndcg_each(labels, given, queries).tolist()


def test_a_cut_leaves_out_queries_without_a_use_and_its_interval_is_its_own() -> None:
    rng = np.random.default_rng(0)
    queries = np.repeat(np.arange(40), 10)
    labels = rng.integers(0, 4, 400) * (queries != 3)
    scores = labels + rng.normal(size=400) * 2
    assert np.isnan(ndcg_each(labels, scores, queries, k=2)[3])
    low, high = ndcg_interval(labels, scores, queries, k=2, count=200, seed=0)
    assert low < ndcg(labels, scores, queries, k=2) < high < ndcg(labels, scores, queries)


def test_the_ends() -> None:
    labels, queries = np.array([2.0, 1.0, 0.0, 1.0, 0.0]), np.array([0, 0, 0, 1, 1])
    assert ndcg(labels, labels, queries) == 1.0
    assert ndcg(labels, -labels, queries) < 0.8
    assert np.isnan(ndcg(np.zeros(5), labels, queries))
    assert np.isnan(ndcg(labels, np.full(5, np.nan), queries))
    assert metric("ndcg").loss(0.75) == 0.25


@pytest.mark.parametrize("count", [300, 30_000], ids=["drawn", "as normal"])
def test_the_interval_is_of_queries_and_narrows_with_them(count: int) -> None:
    rng = np.random.default_rng(0)
    queries = np.repeat(np.arange(count), 4)
    labels = rng.integers(0, 3, len(queries)).astype(float)
    scores = labels + rng.normal(size=len(queries)) * 2
    low, high = ndcg_interval(labels, scores, queries, count=400, seed=0)
    each = ndcg_each(labels, scores, queries)
    error = np.nanstd(each) / np.sqrt(np.isfinite(each).sum())
    assert high - low == pytest.approx(3.92 * error, rel=0.15)
    assert low < ndcg(labels, scores, queries) < high
    assert np.isnan(ndcg_interval(labels[:4], scores[:4], queries[:4], count=9, seed=0)).all()
