"""How good a model is on parts of the rows: by each value of a column, numbers in bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from .intervals import Estimate, intervals
from .metric import Task, measure
from .metric import metric as by_name
from .ndcg import Codes, ndcg_interval

Values = npt.NDArray[np.floating]

_MOST_VALUES = 10  # distinct values that get a segment each; the rest of texts goes together, numbers are binned
_BINS = 4
_RESAMPLES = 200
_FEWEST = 20  # rows for an interval


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows where `column` is `value`, and their measures; `estimate` is the main one with its interval.

    `mean_label` and `mean_score` next to each other show where a model is wrong on the whole.
    """

    column: str
    value: str
    rows: int
    mean_label: float
    mean_score: float
    estimate: Estimate
    metrics: Mapping[str, float]


def segments(
    column: pl.Series,
    labels: Values,
    scores: Values,
    *,
    task: Task,
    metric: str,
    seed: int = 0,
    queries: Codes | None = None,
) -> tuple[Segment, ...]:
    """A segment for each value or bin of the column, nulls as one of their own; as long as `labels`.

    In ranking the rows of a segment are ordered among each other, query by query.
    """
    names = binned(column)
    found = []
    for value in sorted(names.unique().to_list(), key=_place):
        rows = (names == value).to_numpy()
        y, s = labels[rows], scores[rows]
        of = None if queries is None else queries[rows]
        measured = measure(task, y, s, of, also=metric)
        low, high = float("nan"), float("nan")
        if len(y) >= _FEWEST:
            if of is not None:
                low, high = ndcg_interval(y, s, of, k=by_name(metric).k, count=_RESAMPLES, seed=seed)
            else:
                low, high = intervals(task, y, s, count=_RESAMPLES, seed=seed)[metric]
        found.append(
            Segment(
                column.name, str(value).rpartition("\0")[2], len(y), float(y.mean()), float(s.mean()),
                Estimate(measured[metric], low, high), measured,
            )
        )  # fmt: skip
    return tuple(found)


def binned(column: pl.Series) -> pl.Series:
    """The name of each row's segment: its value, its quarter of the numbers, "other" or "null"."""
    dtype = column.dtype
    distinct = column.n_unique()
    if dtype.is_numeric() and distinct > _MOST_VALUES:
        numbers = column.cast(pl.Float64).fill_nan(None)
        values = numbers.fill_null(np.nan).to_numpy()
        known = values[np.isfinite(values)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1))) if len(known) else np.zeros(1)
        if len(edges) > 1:
            place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
            last = len(edges) - 2
            written = [f"{edges[i]:.4g} to {edges[i + 1]:.4g}" for i in range(last + 1)]
            names = pl.Series([f"{i}\0{written[i]}" for i in range(last + 1)], dtype=pl.String).gather(place)
            return names.set(numbers.is_null(), "null")
    texts = as_texts(column).fill_null("null")
    if distinct > _MOST_VALUES:
        kept = texts.value_counts(sort=True)[texts.name].head(_MOST_VALUES)
        texts = texts.set(~texts.is_in(kept.implode()), "other")
    return texts


def as_texts(column: pl.Series) -> pl.Series:
    """Each value as people read it, whatever its type; nulls stay."""
    dtype = column.dtype
    if dtype.is_float():
        return pl.Series(
            column.name, [None if value is None else f"{value:g}" for value in column.to_list()], pl.String
        )
    if dtype.is_nested() or dtype in (pl.Binary, pl.Duration):
        return pl.Series(column.name, [None if value is None else str(value) for value in column.to_list()], pl.String)
    return column.cast(pl.String)


def _place(value: str) -> tuple[bool, bool, str]:
    return value == "null", value == "other", value
