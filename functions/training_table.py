"""From a table to a fold: which columns are features, what the label means, which rows judge.

Everything a table can have wrong is said here, before any worker starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..runtime.errors import InputError, did_you_mean
from .evaluate import Task, metric
from .learner import Fold

_SHOWN = 5
_FEWEST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Split:
    """How rows are divided: by `column` (true judges, false teaches, null is left out), else the latest
    `fraction` by `time_column`, else a random `fraction` of each class."""

    fraction: float = 0.2
    time_column: str | None = None
    column: str | None = None
    seed: int = 0


def features_of(table: pl.DataFrame, *, label: str, split: Split, ignore: Sequence[str]) -> tuple[str, ...]:
    """The feature columns in the table's order; raises `InputError` naming each column that cannot be one."""
    if label not in table.columns:
        raise InputError(f"no label column {label!r}{did_you_mean(label, table.columns)}")
    for name in (*ignore, split.time_column, split.column):
        if name is not None and name not in table.columns:
            raise InputError(f"no column {name!r}{did_you_mean(name, table.columns)}")
    if table.height == 0:
        raise InputError("the table is empty: there is nothing to learn from")
    if table.height < _FEWEST_ROWS:
        raise InputError(f"{table.height} rows are too few to learn from: give at least {_FEWEST_ROWS}")
    aside = {label, split.time_column, split.column, *ignore}
    names = [name for name in table.columns if name not in aside]
    if not names:
        raise InputError("no feature column is left beside the label: give the table some")
    odd = [name for name in names if not (table[name].dtype.is_numeric() or table[name].dtype == pl.Boolean)]
    if odd:
        kinds = ", ".join(f"{name!r} ({table[name].dtype})" for name in odd[:_SHOWN])
        raise InputError(f"columns that are not numbers cannot be features: {kinds}; encode or ignore them")
    empty = [name for name in names if table[name].null_count() == table.height]
    if empty:
        raise InputError(f"columns hold nothing but nulls: {_listed(empty)}; fill or ignore them")
    endless = [name for name in names if table[name].dtype.is_float() and table[name].is_infinite().any()]
    if endless:
        raise InputError(f"columns hold infinite values: {_listed(endless)}; make them null or ignore them")
    return tuple(names)


def to_fold(table: pl.DataFrame, features: Sequence[str], *, label: str, metric_name: str, split: Split) -> Fold:
    """The table as float32 arrays, rows to learn from first; raises `InputError`."""
    task = metric(metric_name).task
    labels = _labels(table[label], task)
    teaches, judges = _divide(table, labels, task, split)
    for rows, what in ((teaches, "to learn from"), (judges, "to judge by")):
        if len(rows) == 0:
            raise InputError(f"the split leaves no rows {what}: change validation_fraction or _column")
        if task == "classification" and len(np.unique(labels[rows])) < 2:
            raise InputError(
                f"the {len(rows)} rows {what} are all {'positive' if labels[rows[0]] else 'negative'}: "
                "give both classes, or change validation_fraction or validation_column"
            )
    order = np.concatenate((teaches, judges))
    x = np.empty((len(order), len(features)), dtype=np.float32)
    for i, name in enumerate(features):  # column by column: no second copy of the whole table
        x[:, i] = table[name].cast(pl.Float32).fill_null(np.nan).to_numpy()[order]
    return Fold(x=x, y=labels[order], train_rows=len(teaches), task=task, metric=metric_name)


def _labels(column: pl.Series, task: Task) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    name = column.name
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise InputError(f"label {name!r} is {column.dtype}: turn it into 0 and 1 or into a number")
    numbers = column.cast(pl.Float64)
    unknown = numbers.null_count() + int((~numbers.is_finite()).sum())
    if unknown:
        raise InputError(f"label {name!r} is unknown in {unknown} rows: drop them first")
    if task == "classification":
        values = numbers.unique().sort().to_list()
        if not set(values) <= {0.0, 1.0}:
            raise InputError(
                f"label {name!r} has {len(values)} values ({', '.join(f'{v:g}' for v in values[:_SHOWN])}"
                f"{', ...' if len(values) > _SHOWN else ''}): give 0 and 1, or metric='rmse'"
            )
        if len(values) < 2:
            raise InputError(f"label {name!r} is {values[0]:g} in every row: give both classes")
    return numbers.to_numpy().astype(np.float32)


def _divide(
    table: pl.DataFrame, labels: np.ndarray[tuple[int], np.dtype[np.float32]], task: Task, split: Split
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The rows to learn from and the rows to judge by."""
    if split.column is not None:
        marks = table[split.column]
        if marks.dtype != pl.Boolean:
            raise InputError(f"validation_column {split.column!r} is {marks.dtype}: make it Boolean")
        judges = marks.fill_null(False).to_numpy()
        teaches = (~marks).fill_null(False).to_numpy()
        return np.flatnonzero(teaches), np.flatnonzero(judges)
    if not 0.0 < split.fraction < 1.0:
        raise InputError(f"validation_fraction is {split.fraction}: give a number between 0 and 1")
    if split.time_column is not None:
        times = table[split.time_column]
        if times.null_count():
            raise InputError(f"time_column {split.time_column!r} has {times.null_count()} nulls: drop those rows")
        first = times.sort()[min(int(table.height * (1 - split.fraction)), table.height - 1)]
        late = (times >= first).to_numpy()  # rows of the same instant stay together
        return np.flatnonzero(~late), np.flatnonzero(late)
    rng = np.random.default_rng(split.seed)
    groups = [np.flatnonzero(labels == v) for v in (0.0, 1.0)] if task == "classification" else [np.arange(len(labels))]
    held: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for rows in groups:
        shuffled = rng.permutation(rows)
        held.append(shuffled[: max(1, round(len(rows) * split.fraction))])
    judged = np.zeros(len(labels), dtype=bool)
    judged[np.concatenate(held)] = True
    return np.flatnonzero(~judged), np.flatnonzero(judged)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
