"""What a model came to on rows it has not seen: measures with intervals, calibration, threshold, segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from ...runtime.errors import InputError, did_you_mean
from .calibration import Calibration, Method, Reliability, calibrate, reliability
from .intervals import RESAMPLES, Estimate, intervals, percentiles
from .metric import Task, measure
from .metric import metric as by_name
from .ndcg import ndcg_interval
from .segments import Segment, segments
from .splits import times_of
from .threshold import Capacity, Cost, Threshold, choose_threshold
from .top import CARDS_A_DAY, card_precisions, precision_at_k

Source = Literal["validation", "test", "nested"]
Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

SOURCES: Mapping[Source, str] = {
    "validation": "the validation rows, which chose the model, too: expect a little less on new rows",
    "test": "rows that were held out of the search",
    "nested": "nested cross-validation: each row is judged by a search that did not see it",
}
_DAY_US = 86_400_000_000
_PARTS = 5
_FEWEST_CLUSTERS = 10
_K = 100


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows to judge by: the labels, the margins of models that were not fitted on them, and the rows themselves.

    `parts` numbers the held-out fold of each row, if there are several; `time_column` and `groups` name columns.
    """

    task: Task
    labels: npt.NDArray[np.floating]
    margins: npt.NDArray[np.floating]
    rows: pl.DataFrame
    source: Source = "validation"
    time_column: str | None = None
    groups: str | None = None
    parts: Codes | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is. `estimates` are measures with 95 % intervals; `scores` are what it said of the judged rows.

    `raw_scores` are those before calibration, `crossed_scores` those by curves that did not see the row.
    `before` and `after` calibration are measured on rows that the curve did not see (None in regression).
    `importance` is each feature's mean |contribution| to the margin, most first; `notes` what to look at twice.
    """

    task: Task
    metric: str
    source: Source
    labels: Doubles = field(repr=False)
    scores: Doubles = field(repr=False)
    estimates: Mapping[str, Estimate]
    raw_scores: Doubles = field(repr=False)
    crossed_scores: Doubles = field(repr=False)
    calibration: Calibration | None = None
    before: Reliability | None = None
    after: Reliability | None = None
    threshold: Threshold | None = None
    segments: tuple[Segment, ...] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """The measures without their intervals."""
        return {name: one.value for name, one in self.estimates.items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Low and high end of each measure whose interval is known."""
        ends = {name: (one.low, one.high) for name, one in self.estimates.items()}
        return {name: pair for name, pair in ends.items() if np.isfinite(pair).all()}

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON: everything but the judged rows; what is not known is None."""
        estimates = {
            name: {"value": one.value, "low": one.low, "high": one.high} for name, one in self.estimates.items()
        }
        told = {
            "task": self.task, "metric": self.metric, "source": self.source, "rows": len(self.labels),
            "estimates": estimates,
            "calibration": self.calibration.to_dict() if self.calibration else None,
            "before": _fields(self.before), "after": _fields(self.after),
            "threshold": self.threshold.to_dict() if self.threshold else None,
            "segments": [{"column": one.column, "value": one.value, "rows": one.rows, "mean_label": one.mean_label,
                          "mean_score": one.mean_score, "low": one.estimate.low, "high": one.estimate.high,
                          "metrics": dict(one.metrics)} for one in self.segments],
            "importance": dict(self.importance), "notes": list(self.notes),
        }  # fmt: skip
        plain: dict[str, object] = orjson.loads(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY))  # NaN is null
        return plain


def judge(
    judged: Judged, *, metric: str, calibration: Method = "auto", threshold: Cost | Capacity | None = None,
    segment_by: Sequence[str] = (), seed: int = 0,
) -> Evaluation:  # fmt: skip
    """Measures the judged rows; `calibration` and `threshold` are for classification. Raises `InputError`.

    Intervals are bootstrapped over groups or else days where there are at least ten, else over rows. What measures
    the order only is not touched by calibration, for that never changes it.
    """
    check_segments(judged.rows, segment_by)
    labels, margins = judged.labels.astype(np.float64), judged.margins.astype(np.float64)
    if judged.task != "classification":
        return _of_values(judged, labels, margins, metric, segment_by, seed)
    clusters = _clusters(judged)
    made, crossed = calibrate(margins, labels, _parts(judged, clusters, seed), calibration)
    plain, after = _logistic(margins), _logistic(crossed)
    scores = _logistic(made.apply(margins)) if made else plain
    k = threshold.cases if isinstance(threshold, Capacity) else _K
    k = k if 2 * k <= len(labels) else max(1, len(labels) // 10)
    values = measure("classification", labels, plain) | {"precision_at_k": precision_at_k(labels, plain, k)}
    bounds = dict(intervals("classification", labels, plain, k=k, clusters=clusters, count=RESAMPLES, seed=seed))
    if made:
        honest = ("log_loss", "brier")
        measured = measure("classification", labels, after)
        again = intervals("classification", labels, after, clusters=clusters, count=RESAMPLES, seed=seed)
        values |= {name: measured[name] for name in honest}
        bounds |= {name: again[name] for name in honest}
    estimates = {name: Estimate(value, *bounds[name]) for name, value in values.items()}
    estimates[f"precision_at_{k}"] = estimates.pop("precision_at_k")
    estimates |= _card_precision(judged, labels, plain, seed)
    chosen = choose_threshold(threshold, labels, scores, times_us(judged)) if threshold else None
    return Evaluation(
        judged.task, metric, judged.source, labels, scores, estimates, plain, after, made,
        reliability(labels, plain), reliability(labels, after), chosen,
        _segments(judged, labels, scores, metric, segment_by, seed),
    )  # fmt: skip


def check_segments(rows: pl.DataFrame, names: Sequence[str]) -> None:
    """Raises `InputError` for a segment column that the table lacks."""
    for name in names:
        if name not in rows.columns:
            raise InputError(f"no column {name!r} to segment by{did_you_mean(name, rows.columns)}")
        if rows[name].dtype == pl.Object:
            raise InputError(f"column {name!r} to segment by holds Python objects: turn them into texts or numbers")


def times_us(judged: Judged) -> Codes | None:
    """The judged rows' times in microseconds; None without a column of dates or times."""
    name = judged.time_column
    if name is None or not judged.rows[name].dtype.is_temporal():
        return None
    return times_of(judged.rows, name).astype(np.int64)


def _of_values(
    judged: Judged, labels: Doubles, values: Doubles, metric: str, segment_by: Sequence[str], seed: int
) -> Evaluation:
    queries = queries_of(judged)
    measured = measure(judged.task, labels, values, queries, also=metric)
    if queries is not None:
        bounds = {
            name: ndcg_interval(labels, values, queries, k=by_name(name).k, count=RESAMPLES, seed=seed)
            for name in measured
        }
    else:
        bounds = dict(intervals("regression", labels, values, clusters=_clusters(judged), count=RESAMPLES, seed=seed))
    estimates = {name: Estimate(value, *bounds[name]) for name, value in measured.items()}
    return Evaluation(
        judged.task, metric, judged.source, labels, values, estimates, values, values,
        segments=_segments(judged, labels, values, metric, segment_by, seed),
    )  # fmt: skip


def _segments(
    judged: Judged, labels: Doubles, scores: Doubles, metric: str, names: Sequence[str], seed: int
) -> tuple[Segment, ...]:
    return tuple(
        one
        for name in names
        for one in segments(
            judged.rows[name],
            labels,
            scores,
            task=judged.task,
            metric=metric,
            seed=seed,
            queries=queries_of(judged),
        )
    )


def queries_of(judged: Judged) -> Codes | None:
    """In ranking the number of each judged row's query, else None."""
    return _groups(judged) if judged.task == "ranking" else None


def _days(judged: Judged) -> Codes | None:
    times = times_us(judged)
    return None if times is None else times // _DAY_US


def _groups(judged: Judged) -> Codes | None:
    return None if judged.groups is None else judged.rows[judged.groups].rank("dense").to_numpy().astype(np.int64)


def _clusters(judged: Judged) -> Codes | None:
    for found in (_groups(judged), _days(judged)):
        if found is not None and len(np.unique(found)) >= _FEWEST_CLUSTERS:
            return found
    return None


def _parts(judged: Judged, clusters: Codes | None, seed: int) -> Codes:
    """The part of each row for cross-fitting: its fold, else by whole clusters, else at random."""
    if judged.parts is not None and len(np.unique(judged.parts)) > 1:
        return judged.parts
    _, codes = np.unique(clusters, return_inverse=True) if clusters is not None else (0, np.arange(len(judged.labels)))
    places: Codes = np.random.default_rng(seed).permutation(int(codes.max()) + 1)[codes] % _PARTS
    return places


def _card_precision(judged: Judged, labels: Doubles, scores: Doubles, seed: int) -> dict[str, Estimate]:
    cards = _groups(judged)
    if cards is None:
        return {}
    days = _days(judged)
    each = card_precisions(labels, scores, cards, np.zeros(len(labels), dtype=np.int64) if days is None else days)
    low, high = float("nan"), float("nan")
    if len(each) >= _PARTS:
        drawn = np.random.default_rng(seed).integers(0, len(each), (RESAMPLES, len(each)))
        low, high = percentiles(each[drawn].mean(axis=1))
    return {f"card_precision_at_{CARDS_A_DAY}": Estimate(float(each.mean()), low, high)}


def _fields(one: Reliability | None) -> dict[str, float] | None:
    return None if one is None else {"brier": one.brier, "ece": one.ece, "log_loss": one.log_loss}


def _logistic(margins: Doubles) -> Doubles:
    small = np.exp(-np.abs(margins))
    out: Doubles = np.where(margins >= 0, 1.0, small) / (1.0 + small)
    return out
