"""How sure a measure is: intervals by bootstrap (Efron 1979), many resamples at once.

A resample is a weight for each row: how often it was drawn. Rows are drawn within each class, or, where they come in
clusters (cards, days), whole clusters are drawn: rows of one cluster tell less than as many of different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..evaluate import Task

Doubles = npt.NDArray[np.float64]
Values = npt.NDArray[np.floating]
Codes = npt.NDArray[np.int64]
Measure = Callable[[Doubles], Doubles]

_CELLS = 10_000_000  # rows x resamples: about half a second for all measures
_CHUNK = 500_000  # of them at once
_MOST, _FEWEST = 1000, 100
_TINY = 1e-7


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure on the judged rows, and the interval that holds 95 of 100 such measures; NaN where it is not known."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def resamples(rows: int) -> int:
    """How many resamples are drawn for so many rows: 1,000, fewer for many rows, never under 100."""
    return int(np.clip(_CELLS // max(1, rows), _FEWEST, _MOST))


def intervals(
    task: Task, labels: Values, scores: Values, *, k: int = 0, clusters: Codes | None = None, count: int, seed: int
) -> Mapping[str, tuple[float, float]]:
    """2.5 % and 97.5 % points by measure; `k` adds precision_at_k. NaN where fewer than half of the resamples say."""
    found: dict[str, list[Doubles]] = {}
    measures = _measures(task, labels.astype(np.float64), scores.astype(np.float64), k)
    for weights in weighted(labels, task, clusters, count=count, seed=seed):
        for name, values in measures(weights).items():
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
    """The weights of `count` resamples, in chunks of resamples x rows."""
    rng = np.random.default_rng(seed)
    size = max(1, _CHUNK // max(1, len(labels)))
    if clusters is not None:
        _, codes = np.unique(clusters, return_inverse=True)
        strata = [np.arange(int(codes.max()) + 1)]
    else:
        codes = np.arange(len(labels))
        sides = (labels > 0.5, labels <= 0.5) if task == "classification" else (np.ones(len(labels), dtype=bool),)
        strata = [np.flatnonzero(side) for side in sides]
    units = sum(len(one) for one in strata)
    for begin in range(0, count, size):
        weights = np.zeros((min(size, count - begin), units))
        for row in weights:
            for some in strata:
                if len(some):
                    row[some] = np.bincount(rng.integers(0, len(some), len(some)), minlength=len(some))
        yield weights[:, codes]


def _measures(task: Task, y: Doubles, s: Doubles, k: int) -> Callable[[Doubles], dict[str, Doubles]]:
    if task == "regression":
        return lambda w: _of_values(w, y, s)
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    last = np.flatnonzero(np.append(s[1:] != s[:-1], True))
    p = np.clip(s, _TINY, 1 - _TINY)
    losses = -np.where(y > 0.5, np.log(p), np.log1p(-p))
    squares = np.square(y - s)

    def found(weights: Doubles) -> dict[str, Doubles]:
        w = weights[:, order]
        total = w.sum(axis=1)
        flagged = np.cumsum(w, axis=1)[:, last]
        hits = np.cumsum(w * y, axis=1)[:, last]
        out = {
            "average_precision": _average_precision(hits, flagged),
            "roc_auc": _roc_auc(hits, flagged),
            "log_loss": w @ losses / total,
            "brier": w @ squares / total,
        }
        return out | ({"precision_at_k": _precision_at_k(hits, flagged, k)} if k else {})

    return found


def _of_values(w: Doubles, y: Doubles, s: Doubles) -> dict[str, Doubles]:
    total, square = w.sum(axis=1), w @ np.square(y - s)
    spread = w @ np.square(y) - np.square(w @ y) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(spread > 0, 1 - square / spread, np.nan)
    return {"rmse": np.sqrt(square / total), "mae": w @ np.abs(y - s) / total, "r2": r2}


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
