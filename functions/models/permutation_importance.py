"""How much a model needs each feature: what its measure loses when the feature's values are shuffled."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import InputError
from ..evaluation.metric import Metric
from ..evaluation.metric import metric as by_name
from ..evaluation.task import USUAL, fitting
from ..forecasting.forecast_table import FILE
from ..training.learner import Rows
from .model import Model
from .model_rows import model_rows

_FEWEST_ROWS = 1_000  # fewer tell too little of a feature to be worth the time


def permutation_importance(
    model: Model, table: pl.DataFrame, *, metric: str | None = None, groups: str = "", repeats: int = 5, seed: int = 0,
    limit_s: float = 60.0,
) -> pl.DataFrame:  # fmt: skip
    """By how much `metric` gets worse when a feature's values are shuffled among the rows; the greatest first.

    A row a feature: `feature`, `importance` (the mean over the repeats, in units of the metric; about 0, or below, for
    one that the model does not need), `spread` (their standard deviation; null for one repeat) and `repeats` (Breiman
    2001). Any model, learners of your own too. `table` holds the features and the label of rows that the model was not
    fitted on: on its own training rows it seems to need what it has only learned by heart. Of two features that say
    the same neither seems needed. `metric` None is the task's usual one; a ranking needs `groups`.

    After about `limit_s` seconds no more repeats are begun; where one would take longer, a sample of the rows is used.
    Raises `InputError`.
    """
    if FILE in model.attachments:
        raise InputError(f"model {model.name!r} forecasts: its features are made of the series, and no table has them")
    if repeats < 1 or not limit_s > 0:
        raise InputError(f"repeats is {repeats}, limit_s {limit_s}: give at least 1, and seconds above zero")
    if model.task == "ranking" and not groups:
        raise InputError("a ranking needs groups, the column that the rows of one query share: groups='query', say")
    judge = by_name(USUAL[model.task]) if metric is None else fitting(metric, task=model.task)
    x, y, queries = model_rows(model, table, groups=groups)
    if unknown := int((~np.isfinite(y)).sum()):
        raise InputError(f"label {model.label!r} is unknown in {unknown} rows: drop them first")
    model.predict(x[:1])  # so that loading its library does not count
    began = time.monotonic()
    loss = _loss(model, judge.of_queries(queries), x, y)
    if np.isnan(loss):
        raise InputError(f"{judge.name} cannot be computed on these rows: give rows of both classes, or of two grades")
    fitting_rows = _rows_within(limit_s, once_s=time.monotonic() - began, rows=len(y), features=x.shape[1])
    if fitting_rows < len(y):
        kept = _sample(len(y), fitting_rows, queries, seed)
        x, y, queries = x[kept], y[kept], None if queries is None else queries[kept]
        loss = _loss(model, judge.of_queries(queries), x, y)
    drops = _drops(
        lambda rows: _loss(model, judge.of_queries(queries), rows, y) - loss, x, repeats=repeats, seed=seed,
        ends=began + limit_s,
    )  # fmt: skip
    spread = drops.std(axis=0, ddof=1) if len(drops) > 1 else np.full(x.shape[1], np.nan)
    found = pl.DataFrame(
        {
            "feature": model.features, "importance": drops.mean(axis=0), "spread": pl.Series(spread).fill_nan(None),
            "repeats": [len(drops)] * x.shape[1],
        }
    )  # fmt: skip
    return found.sort("importance", descending=True, maintain_order=True)


def _drops(worse: Callable[[Rows], float], x: Rows, *, repeats: int, seed: int, ends: float) -> Rows:
    """Repeats x features: what each shuffled column costs; at least one repeat."""
    rng = np.random.default_rng(seed)
    rows = x.copy()
    found: list[list[float]] = []
    while len(found) < repeats and (not found or time.monotonic() < ends):
        drops = []
        for place in range(x.shape[1]):
            rows[:, place] = rng.permutation(x[:, place])
            drops.append(worse(rows))
            rows[:, place] = x[:, place]
        found.append(drops)
    return np.array(found)


def _loss(model: Model, judge: Metric, x: Rows, y: Rows) -> float:
    return judge.loss(judge.compute(y, model.predict(x)))


def _rows_within(limit_s: float, *, once_s: float, rows: int, features: int) -> int:
    """So many rows that a repeat takes at most half of the time, where one prediction of all took `once_s`."""
    share = limit_s / 2 / max(once_s * features, 1e-9)
    return rows if share >= 1 else min(rows, max(_FEWEST_ROWS, int(rows * share)))


def _sample(count: int, most: int, queries: npt.NDArray[np.int64] | None, seed: int) -> npt.NDArray[np.int64]:
    """Row numbers: some rows, or whole queries of about so many."""
    rng = np.random.default_rng(seed)
    if queries is None:
        return np.sort(rng.permutation(count)[:most])
    names, sizes = np.unique(queries, return_counts=True)
    order = rng.permutation(len(names))
    kept = names[order[: max(1, int(np.searchsorted(np.cumsum(sizes[order]), most)))]]
    return np.flatnonzero(np.isin(queries, kept))
