"""How good scores are: ROC AUC, average precision, log loss, Brier score, RMSE, MAE, R2, in plain numpy.

Called once a boosting round, so every measure is one sort and a few cumulative sums.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...runtime.errors import InputError, did_you_mean
from .ndcg import Codes, ndcg

Task = Literal["classification", "regression", "ranking"]
Floats = npt.NDArray[np.floating]

_CUT = re.compile(r"ndcg\W?_?([0-9]+)")  # as people write it
_TINY = 1e-7  # log loss stays finite for a sure but wrong score; float32's resolution near 1


@dataclass(frozen=True, slots=True)
class Metric:
    """One measure: `compute(labels, scores)`, both of length n; scores are probabilities in classification.

    Rows to be ordered are one query, unless `of_queries` says which are; of each query the first `k` places count.
    """

    name: str
    task: Task
    higher_is_better: bool
    compute: Callable[[Floats, Floats], float]
    k: int | None = None

    def loss(self, value: float) -> float:
        """The value turned so that less is better: 1 - value where higher is better."""
        return 1.0 - value if self.higher_is_better else value

    def of_queries(self, queries: Codes | None) -> Metric:
        """The same measure for rows of these queries (numbers, one a row), in that order; itself for None."""
        return self if queries is None else replace(self, compute=partial(ndcg, queries=queries, k=self.k))


def roc_auc(labels: Floats, scores: Floats) -> float:
    """The chance that a positive scores above a negative, ties counting half; NaN with one class or a NaN score."""
    ordered, known, counts = _sorted(labels, scores)
    positives, negatives = int(counts.sum()), len(ordered) - int(counts.sum())
    if positives == 0 or negatives == 0 or np.isnan(ordered[-1]):
        return float("nan")
    # Rows below each positive, and half of its equals, itself and other positives included: those are taken off.
    below = (np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")) / 2
    return float((np.dot(counts, below) - positives**2 / 2) / (positives * negatives))


def average_precision(labels: Floats, scores: Floats) -> float:
    """Precision averaged over the recall each threshold adds (no interpolation); NaN with none or a NaN score."""
    ordered, known, counts = _sorted(labels, scores)
    if not len(known) or np.isnan(ordered[-1]):
        return float("nan")
    flagged = len(ordered) - np.searchsorted(ordered, known, "left")
    hits = np.cumsum(counts[::-1])[::-1]
    return float(np.dot(counts, hits / flagged) / hits[0])


def log_loss(labels: Floats, scores: Floats) -> float:
    """Mean negative log likelihood of 0/1 labels, in nats; scores are clipped to [1e-7, 1 - 1e-7]."""
    p = np.clip(scores.astype(np.float64), _TINY, 1.0 - _TINY)
    return float(-np.mean(np.where(labels > 0.5, np.log(p), np.log1p(-p))))


def rmse(labels: Floats, scores: Floats) -> float:
    """Root of the mean squared error, in the label's unit."""
    return float(np.sqrt(np.mean(np.square(labels.astype(np.float64) - scores))))


def brier(labels: Floats, scores: Floats) -> float:
    """Mean squared distance of probabilities from 0/1 labels (Brier 1950)."""
    return float(np.mean(np.square(labels.astype(np.float64) - scores)))


def mae(labels: Floats, scores: Floats) -> float:
    """Mean absolute error, in the label's unit."""
    return float(np.mean(np.abs(labels.astype(np.float64) - scores)))


def r2(labels: Floats, scores: Floats) -> float:
    """The share of the labels' variance that the scores explain; NaN where the labels do not vary."""
    y = labels.astype(np.float64)
    total = float(np.square(y - y.mean()).sum()) if len(y) else 0.0
    return 1.0 - float(np.square(y - scores).sum()) / total if total else float("nan")


def _sorted(labels: Floats, scores: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """All scores in rising order (NaN last), and the positives' distinct ones with how many of them have each.

    Values are sorted and no rows: a tenth of the time, and only the positives' scores are thresholds that count.
    """
    known, counts = np.unique(scores[labels > 0.5], return_counts=True)
    return np.sort(scores), known, counts


METRICS: Mapping[str, Metric] = {
    one.name: one
    for one in (
        Metric("average_precision", "classification", True, average_precision),
        Metric("roc_auc", "classification", True, roc_auc),
        Metric("log_loss", "classification", False, log_loss),
        Metric("brier", "classification", False, brier),
        Metric("rmse", "regression", False, rmse),
        Metric("mae", "regression", False, mae),
        Metric("r2", "regression", True, r2),
        Metric("ndcg", "ranking", True, ndcg),
    )
}


def metric(name: str) -> Metric:
    """The metric of that name, "ndcg_10" (any number from 1 on) for NDCG of each query's first 10 places.

    Raises `InputError` that suggests the nearest one.
    """
    if not isinstance(name, str):
        raise InputError(f"metric is {name!r}: give a name, one of {', '.join(map(repr, METRICS))}")
    if name in METRICS:
        return METRICS[name]
    cut = _CUT.fullmatch(name)
    k = int(cut[1]) if cut else 0
    if cut and k < 1:
        raise InputError(f"metric {name!r} counts no place: give 1 or more, as in 'ndcg_10'")
    if cut and name != f"ndcg_{k}":
        raise InputError(f"no metric {name!r}: NDCG of the first {k} places is 'ndcg_{k}'")
    if not cut:
        raise InputError(f"no metric {name!r}{did_you_mean(name, METRICS)}")
    return Metric(name, "ranking", True, partial(ndcg, k=k), k)


def measure(
    task: Task, labels: Floats, scores: Floats, queries: Codes | None = None, *, also: str = ""
) -> dict[str, float]:
    """Every metric of the task by name, and the one that is asked for beside them."""
    measures = {one.name: one for one in METRICS.values() if one.task == task} | ({also: metric(also)} if also else {})
    return {name: one.of_queries(queries).compute(labels, scores) for name, one in measures.items()}
