"""From a table to a fold: which columns are features, what the label means, which rows judge.

Everything a table can have wrong is said here, before any worker starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ...runtime.errors import InputError, did_you_mean
from ..evaluation.leakage import check_future_times, check_label_copies, check_perfect_features, check_row_copies
from ..evaluation.metric import Task, metric
from ..evaluation.splits import Indices, Split, divide, groups_of
from .learner import Fold, Rows
from .queries import check_grades, check_queries
from .trainer import Portion

_SHOWN = 5
_FEWEST_ROWS = 10
_MOST_FEATURES = 5_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A table ready for training: `fold` holds all its rows, those to learn from first, then those to judge by (up to
    `known_rows`), those held out (`test_rows` of them) and those in a gap; `rows` are their numbers in the table."""

    fold: Fold
    rows: Indices
    known_rows: int
    test_rows: int

    @property
    def y_valid(self) -> Rows:
        """The labels to judge by (a view)."""
        return self.fold.y[self.fold.train_rows : self.known_rows]

    @property
    def queries_valid(self) -> Indices | None:
        """The queries of the rows to judge by (a view)."""
        return None if self.fold.queries is None else self.fold.queries[self.fold.train_rows : self.known_rows]

    def portion(self) -> Portion | None:
        """What the search may see, where that is not the whole fold; the held out rows are scored."""
        if self.known_rows == len(self.fold.y):
            return None
        return Portion(
            slice(0, self.known_rows), self.fold.train_rows, slice(self.known_rows, self.known_rows + self.test_rows)
        )


def features_of(table: pl.DataFrame, *, label: str, split: Split, ignore: Sequence[str]) -> tuple[str, ...]:
    """The feature columns in the table's order; raises `InputError` naming each column that cannot be one."""
    if not isinstance(label, str):
        raise InputError(f"label is {label!r}: give the name of the column to predict")
    if not table.columns:
        raise InputError("the table is empty: it has neither rows nor columns")
    if label not in table.columns:
        raise InputError(f"no label column {label!r}{did_you_mean(label, table.columns)}")
    if label in split.names:
        raise InputError(f"{label!r} is the label, so it does not divide the rows: name another column")
    named: list[tuple[str, str | None]] = [("options.ignore", name) for name in ignore]
    named += [("time_column", split.time_column), ("options.validation_column", split.column), ("groups", split.groups)]
    for what, name in named:
        if name is not None and name not in table.columns:
            raise InputError(f"no column {name!r} for {what}{did_you_mean(name, table.columns)}")
    if table.height == 0:
        raise InputError("the table is empty: there is nothing to learn from")
    if table.height < _FEWEST_ROWS:
        raise InputError(f"{table.height} rows are too few to learn from: give at least {_FEWEST_ROWS}")
    aside = {label, *split.names, *ignore}
    names = [name for name in table.columns if name not in aside]
    if not names:
        raise InputError("no feature column is left beside the label: give the table some")
    if len(names) > _MOST_FEATURES:
        raise InputError(
            f"{len(names):,} feature columns are too many to search over: keep at most {_MOST_FEATURES:,}, e.g. those "
            "with the highest relation in describe(table, label=...)"
        )
    kinds_of = table.schema
    floats = [name for name in names if kinds_of[name].is_float()]
    # All columns in one question each: thousands of small ones take seconds.
    lacking = table.select(pl.col(names).null_count()).row(0, named=True)
    lacking |= table.select(pl.col(floats).fill_nan(None).null_count()).row(0, named=True) if floats else {}
    empty = [name for name in names if lacking[name] == table.height]
    odd = [n for n in names if not (kinds_of[n].is_numeric() or kinds_of[n] == pl.Boolean or n in empty)]
    if odd:
        kinds = ", ".join(f"{name!r} ({kinds_of[name]})" for name in odd[:_SHOWN])
        raise InputError(
            f"columns that are not numbers cannot be features: {kinds}; {_cure(kinds_of[odd[0]])}, or ignore them"
        )
    if empty:
        raise InputError(f"columns hold nothing but nulls: {_listed(empty)}; fill or ignore them")
    infinite = table.select(pl.col(floats).cast(pl.Float32).is_infinite().any()).row(0, named=True) if floats else {}
    if endless := [name for name in floats if infinite[name]]:
        raise InputError(
            f"columns hold infinite values, or some beyond the 3.4e38 of float32: {_listed(endless)}; make them "
            "null or ignore them"
        )
    return tuple(names)


def prepare(
    table: pl.DataFrame, features: Sequence[str], *, label: str, metric_name: str, split: Split,
    trusted: Sequence[str] = (),
) -> Prepared:  # fmt: skip
    """The table as float32 arrays; raises `InputError`, also where the label or the split leaks.

    Features that are `trusted` may tell the label alone, or be times after the row's own.
    """
    task = metric(metric_name).task
    labels = _labels(table[label], task)
    check_label_copies(table, features, labels, task)
    if task == "classification":
        check_perfect_features(table, features, labels, trusted=trusted)
    check_future_times(table, features, split.time_column, trusted=trusted)
    made = divide(table, labels, task, split)
    check_sides(labels, task, {"to learn from": made.teaches, "to judge by": made.judges})
    if split.test_fraction:
        check_sides(labels, task, {"held out": made.tests})
    queries = groups_of(table, split, np.arange(table.height)) if task == "ranking" else None
    if queries is not None:
        sides = {"to learn from": made.teaches, "to judge by": made.judges}
        sides |= {"held out": made.tests} if split.test_fraction else {}
        check_queries(str(split.groups), labels, queries, sides)
    check_row_copies(table, made, without=split.column)
    order = np.concatenate((made.teaches, made.judges, made.tests, made.gaps))
    x = np.empty((len(order), len(features)), dtype=np.float32)
    for i, name in enumerate(features):  # column by column: no second copy of the whole table
        x[:, i] = table[name].cast(pl.Float32).fill_null(np.nan).to_numpy()[order]
    fold = Fold(
        x=x, y=labels[order], train_rows=len(made.teaches), task=task, metric=metric_name,
        queries=None if queries is None else queries[order],
    )  # fmt: skip
    return Prepared(fold, order, len(made.teaches) + len(made.judges), len(made.tests))


def check_sides(labels: Rows, task: Task, sides: Mapping[str, Indices]) -> None:
    """Raises `InputError` for a side, by what its rows are for, that is empty or holds one class only."""
    for what, rows in sides.items():
        if len(rows) == 0:
            raise InputError(
                f"the split leaves no rows {what}: give more rows, times or groups, or other options than these of "
                "validation_fraction, validation_gap, validation_column and test_fraction"
            )
        if task == "classification" and len(np.unique(labels[rows])) < 2:
            raise InputError(
                f"the {len(rows)} rows {what} are all {'positive' if labels[rows[0]] else 'negative'}: "
                "give both classes, or change validation_fraction or validation_column"
            )


def _labels(column: pl.Series, task: Task) -> Rows:
    name = column.name
    if column.null_count() == len(column):
        raise InputError(f"label {name!r} is null in every row: is it another column, or was a join empty?")
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        raise InputError(f"label {name!r} is {column.dtype}: {_as_label(column, task)}")
    numbers = column.cast(pl.Float64)
    unknown = numbers.null_count() + int((~numbers.is_finite()).sum())
    if unknown:
        raise InputError(
            f"label {name!r} is unknown (null, NaN or infinite) in {unknown} of {len(column)} rows: drop them first, "
            f"e.g. with table.filter(pl.col({name!r}).is_finite())"
        )
    if task == "classification":
        values = numbers.unique().sort().to_list()
        if not set(values) <= {0.0, 1.0}:
            raise InputError(
                f"label {name!r} has {len(values)} values ({', '.join(f'{v:g}' for v in values[:_SHOWN])}"
                f"{', ...' if len(values) > _SHOWN else ''}): give 0 and 1, or metric='rmse'"
            )
        if len(values) < 2:
            raise InputError(f"label {name!r} is {values[0]:g} in every row: give both classes")
    found: Rows = numbers.to_numpy().astype(np.float32)
    if task != "classification" and found.min() == found.max():  # else every feature would pass for its copy
        raise InputError(f"label {name!r} has one value in all {len(found)} rows: there is nothing to learn")
    if task == "ranking":
        check_grades(name, found)
    return found


def _as_label(column: pl.Series, task: Task) -> str:
    """What to do with a label of that type."""
    if column.dtype != pl.String:
        return "turn it into 0 and 1 or into a number"
    name, one = column.name, column.drop_nulls()[0]
    if task == "classification":
        return f"turn it into 0 and 1, e.g. with pl.col({name!r}) == {one!r}; for values, give numbers"
    return f"turn it into numbers, e.g. with pl.col({name!r}).cast(pl.Float64)"


def _cure(dtype: pl.DataType) -> str:
    """What to do with a column of that type."""
    if dtype.is_temporal():
        return "turn times into numbers, e.g. the days before the row's own"
    if dtype.is_nested():
        return "take numbers out of them, e.g. with .list.get(0) or .struct.field(...)"
    return "encode them as numbers, e.g. with .cast(pl.Float64) or .to_dummies()"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
