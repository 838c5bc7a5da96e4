"""How sure a measure is: intervals by bootstrap (Efron 1979), many resamples at once.

A resample is a weight for each row: how often it was drawn. Rows are drawn within each class, or, where they come in
clusters (cards, days), whole clusters are drawn: rows of one cluster tell less than as many of different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .metric import Task

Doubles = npt.NDArray[np.float64]
Values = npt.NDArray[np.floating]
Codes = npt.NDArray[np.int64]

RESAMPLES = 500
_EXACT_ROWS = 4_000  # up to so many each row is drawn, each score a threshold of its own
_UNITS = 1_000  # more rows or clusters are drawn as so many random bundles, which vary as much
_THRESHOLDS = 400
_CHUNK = 500_000  # rows x resamples at once
_TINY = 1e-7


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure on the judged rows, and the interval that holds 95 of 100 such measures; NaN where it is not known."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def intervals(
    task: Task, labels: Values, scores: Values, *, k: int = 0, clusters: Codes | None = None, count: int, seed: int
) -> Mapping[str, tuple[float, float]]:
    """2.5 % and 97.5 % points by measure; `k` adds precision_at_k. NaN where fewer than half of the resamples say.

    Beyond some thousands of rows it takes no longer: rows are drawn in bundles, and the order is cut at 400 scores.
    """
    y, s = labels.astype(np.float64), scores.astype(np.float64)
    found: dict[str, list[Doubles]] = {}
    units, strata = _units(labels, task, clusters, seed)
    bundled = len(y) > _EXACT_ROWS
    rank = None if task == "regression" else _bundled_ranks(y, s, units) if bundled else _exact_ranks(y, s, units)
    means = _sums(task, y, s, units)
    for weights in _weights(strata, count=count, seed=seed, rows=len(strata[0]) if bundled else len(y)):
        measured = means(weights)
        if rank is not None:
            hits, flagged = rank(weights)
            measured |= {"average_precision": _average_precision(hits, flagged), "roc_auc": _roc_auc(hits, flagged)}
            measured |= {"precision_at_k": _precision_at_k(hits, flagged, k)} if k else {}
        for name, values in measured.items():
            found.setdefault(name, []).append(values)
    return {name: percentiles(np.concatenate(values)) for name, values in found.items()}


def percentiles(values: Doubles) -> tuple[float, float]:
    """The 2.5 % and the 97.5 % point of those that are numbers; NaN where fewer than half are."""
    known = values[np.isfinite(values)]
    if len(known) * 2 < len(values) or not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def weighted(labels: Values, task: Task, clusters: Codes | None, *, count: int, seed: int) -> Iterator[Doubles]:
    """How often each row is drawn in each of `count` resamples, in chunks of resamples x rows."""
    units, strata = _units(labels, task, clusters, seed)
    for weights in _weights(strata, count=count, seed=seed, rows=len(labels)):
        yield weights[:, units]


def _units(labels: Values, task: Task, clusters: Codes | None, seed: int) -> tuple[Codes, list[Codes]]:
    """The unit that each row is drawn with, and the units that are drawn among each other."""
    if clusters is not None:
        codes = np.unique(clusters, return_inverse=True)[1]
        sides = [np.arange(int(codes.max()) + 1)]
    else:
        codes = np.arange(len(labels))
        positive = labels > 0.5
        sides = [np.flatnonzero(positive), np.flatnonzero(~positive)] if task == "classification" else [codes]
    sides = [side for side in sides if len(side)]
    if len(labels) <= _EXACT_ROWS:
        return codes, sides
    rng = np.random.default_rng(seed)
    bundle = np.empty(sum(map(len, sides)), dtype=np.int64)
    strata, begin = [], 0
    for side in sides:
        size = min(_UNITS, len(side))
        bundle[side] = begin + rng.permutation(len(side)) % size
        strata.append(np.arange(begin, begin + size))
        begin += size
    return bundle[codes], strata


def _weights(strata: list[Codes], *, count: int, seed: int, rows: int) -> Iterator[Doubles]:
    rng = np.random.default_rng(seed)
    size = max(1, _CHUNK // max(1, rows))
    units = sum(map(len, strata))
    for begin in range(0, count, size):
        weights = np.zeros((min(size, count - begin), units))
        for row in weights:
            for some in strata:
                row[some] = np.bincount(rng.integers(0, len(some), len(some)), minlength=len(some))
        yield weights


def _exact_ranks(y: Doubles, s: Doubles, units: Codes) -> Callable[[Doubles], tuple[Doubles, Doubles]]:
    """Positives and rows at or above each distinct score, the highest first."""
    order = np.argsort(-s, kind="stable")
    last = np.flatnonzero(np.append(np.diff(s[order]) != 0, True))
    drawn, positive = units[order], np.flatnonzero(y[order] > 0.5)
    upto = np.searchsorted(positive, last, side="right")

    def found(weights: Doubles) -> tuple[Doubles, Doubles]:
        w = weights[:, drawn]
        hits = np.cumsum(w[:, positive], axis=1)
        return np.concatenate((np.zeros((len(w), 1)), hits), axis=1)[:, upto], np.cumsum(w, axis=1)[:, last]

    return found


def _bundled_ranks(y: Doubles, s: Doubles, units: Codes) -> Callable[[Doubles], tuple[Doubles, Doubles]]:
    """As `_exact_ranks` at so many scores: half of them spread over the positives, half over all rows."""
    positive = s[y > 0.5]
    shares = np.linspace(0, 1, _THRESHOLDS // 2)
    levels = np.quantile(s, shares, method="nearest")
    if len(positive):
        levels = np.concatenate((levels, np.quantile(positive, shares, method="nearest")))
    levels = np.unique(levels)[::-1]
    place = np.searchsorted(-levels, -s, side="left").clip(0, len(levels) - 1)
    shape = (int(units.max()) + 1, len(levels))
    spot = units * shape[1] + place
    hits = np.cumsum(np.bincount(spot, weights=y, minlength=shape[0] * shape[1]).reshape(shape), axis=1).astype(
        np.float64
    )
    flagged = np.cumsum(np.bincount(spot, minlength=shape[0] * shape[1]).reshape(shape), axis=1).astype(np.float64)
    return lambda weights: (weights @ hits, weights @ flagged)


def _sums(task: Task, y: Doubles, s: Doubles, units: Codes) -> Callable[[Doubles], dict[str, Doubles]]:
    """The measures that are made of sums over rows."""

    def summed(values: Doubles) -> Doubles:
        out: Doubles = np.bincount(units, weights=values).astype(np.float64)
        return out

    rows, squares = summed(np.ones(len(y))), summed(np.square(y - s))
    if task == "classification":
        p = np.clip(s, _TINY, 1 - _TINY)
        losses = summed(-np.where(y > 0.5, np.log(p), np.log1p(-p)))
        return lambda w: {"log_loss": w @ losses / (w @ rows), "brier": w @ squares / (w @ rows)}
    middle = y.mean()
    labels, squared, distances = summed(y - middle), summed(np.square(y - middle)), summed(np.abs(y - s))

    def found(w: Doubles) -> dict[str, Doubles]:
        total = w @ rows
        r2 = 1 - _ratio(w @ squares, w @ squared - np.square(w @ labels) / total)
        return {"rmse": np.sqrt(w @ squares / total), "mae": w @ distances / total, "r2": r2}

    return found


def _average_precision(hits: Doubles, flagged: Doubles) -> Doubles:
    steps = np.diff(hits, axis=1, prepend=0.0)
    precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
    all_hits = hits[:, -1]
    return _ratio(np.einsum("ij,ij->i", steps, precision), all_hits)


def _roc_auc(hits: Doubles, flagged: Doubles) -> Doubles:
    misses = flagged - hits
    steps = np.diff(misses, axis=1, prepend=0.0)
    before = np.concatenate((np.zeros((len(hits), 1)), hits[:, :-1]), axis=1)
    return _ratio(np.einsum("ij,ij->i", steps, (hits + before) / 2), hits[:, -1] * misses[:, -1])


def _precision_at_k(hits: Doubles, flagged: Doubles, k: int) -> Doubles:
    k_each = np.minimum(k, flagged[:, -1])
    at = (flagged < k_each[:, None]).sum(axis=1)
    rows = np.arange(len(hits))
    past = np.maximum(at - 1, 0)
    hits_before = np.where(at > 0, hits[rows, past], 0.0)
    flagged_before = np.where(at > 0, flagged[rows, past], 0.0)
    share = _ratio(hits[rows, at] - hits_before, flagged[rows, at] - flagged_before)
    return _ratio(hits_before + (k_each - flagged_before) * share, k_each)


def _ratio(a: Doubles, b: Doubles) -> Doubles:
    out: Doubles = np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
    return out
