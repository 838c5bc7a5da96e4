"""Normalised discounted cumulative gain (Järvelin 2002): how well scores order each query's rows by their grades."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Codes = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

HIGHEST_GRADE = 31  # a gain is 2^grade - 1, which the libraries hold in 32 bits
_DRAWN = 20_000  # beyond so many queries the mean is as good as normal


def ndcg(labels: Floats, scores: Floats, queries: Codes | None = None, *, k: int | None = None) -> float:
    """The mean over the queries (numbers, one a row; None for one query); NaN without any grade above 0.

    A row's gain is 2^grade - 1, its discount log2(place + 1); rows with one score share their places' discounts.
    With `k` the places after the k-th count nothing, in the best order neither; rows with one score that stand across
    the cut share what the places before it are worth. Queries without a grade above 0 do not count.
    """
    each = ndcg_each(labels, scores, np.zeros(len(labels), dtype=np.int64) if queries is None else queries, k=k)
    known = each[np.isfinite(each)]
    return float(known.mean()) if len(known) else float("nan")


def ndcg_each(labels: Floats, scores: Floats, queries: Codes, *, k: int | None = None) -> Doubles:
    """One value for each query, by rising number; NaN where no grade is above 0, or a score is NaN."""
    if not len(labels):
        return np.empty(0)
    order = np.lexsort((-scores, queries))
    q, s = queries[order], scores[order]
    gains = np.exp2(labels[order].astype(np.float64)) - 1
    new_query = np.append(True, q[1:] != q[:-1])
    first = np.flatnonzero(new_query)
    place = np.arange(len(q)) - np.repeat(first, np.diff(np.append(first, len(q))))
    discounts = 1 / np.log2(place + 2.0)
    if k is not None:
        discounts[place >= k] = 0.0
    ties = np.flatnonzero(new_query | np.append(True, s[1:] != s[:-1]))
    shared = np.add.reduceat(gains, ties) / np.diff(np.append(ties, len(q))) * np.add.reduceat(discounts, ties)
    found = np.add.reduceat(shared, np.searchsorted(ties, first))
    best = np.add.reduceat(gains[np.lexsort((-gains, q))] * discounts, first)
    out: Doubles = np.divide(found, best, out=np.full(len(first), np.nan), where=best > 0)
    out[np.isnan(np.add.reduceat(s, first))] = np.nan
    return out


def ndcg_interval(
    labels: Floats, scores: Floats, queries: Codes, *, k: int | None = None, count: int, seed: int
) -> tuple[float, float]:
    """2.5 % and 97.5 % points of the mean where queries are drawn anew so often (Efron 1979); NaN for one query."""
    each = ndcg_each(labels, scores, queries, k=k)
    each = each[np.isfinite(each)]
    if len(each) < 2:
        return float("nan"), float("nan")
    if len(each) > _DRAWN:
        middle, off = float(each.mean()), 1.96 * float(each.std()) / len(each) ** 0.5
        return middle - off, middle + off
    rng = np.random.default_rng(seed)
    means = [each[rng.integers(0, len(each), len(each))].mean() for _ in range(count)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
