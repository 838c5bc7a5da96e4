"""Which rows teach, which judge and which are held out: by time, by group or at random within each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import InputError
from ...runtime.units import duration_us
from .metric import Task

Indices = npt.NDArray[np.int64]
Labels = npt.NDArray[np.floating]

_GREEDY_GROUPS = 20_000  # more groups than that balance by chance


@dataclass(frozen=True, slots=True)
class Split:
    """How rows are divided.

    By `column` (true judges, false teaches, null is left out); else by `time_column`, where the latest `fraction`
    judges and rows less than `gap` ("7d") before it do not teach; else at random, a `fraction` of each class,
    rows of one of the `groups` all on one side. `test_fraction` of the rows (the latest ones, with a time column) are
    held out of the search. With a time column the groups may recur: it is later rows that one wants to know about;
    in ranking, where they are queries, they are whole, the latest of them judge.
    """

    fraction: float = 0.2
    time_column: str | None = None
    column: str | None = None
    seed: int = 0
    groups: str | None = None
    gap: str | timedelta = ""
    test_fraction: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that divide; none of them is a feature."""
        return tuple(name for name in (self.time_column, self.column, self.groups) if name is not None)


@dataclass(frozen=True, slots=True)
class Division:
    """Row numbers: to learn from, to choose by, held out, and in a gap (which only the final fit may see)."""

    teaches: Indices
    judges: Indices
    tests: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    gaps: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def divide(table: pl.DataFrame, labels: Labels, task: Task, split: Split) -> Division:
    """The rows' parts in it; raises `InputError` for a split that cannot be made or that leaks."""
    if split.gap and split.time_column is None:
        raise InputError(f"validation_gap={split.gap!r} is a time before the rows that judge: name the time_column")
    if split.column is not None:
        return _by_column(table, split, task)
    _check_groups(table, split, task)
    if not 0.0 < split.fraction < 1.0:
        raise InputError(f"validation_fraction is {split.fraction}: give a number between 0 and 1")
    if not 0.0 <= split.test_fraction < 1.0:
        raise InputError(f"test_fraction is {split.test_fraction}: give a number from 0 up to 1")
    everything = np.arange(len(labels))
    known, tests = everything, everything[:0]
    if split.test_fraction:
        known, tests = _cut(table, labels, task, split, everything, split.test_fraction)
    teaches, judges = _cut(table, labels, task, split, known, split.fraction)
    used = np.zeros(len(labels), dtype=bool)
    used[np.concatenate((teaches, judges, tests))] = True
    return Division(teaches, judges, tests, np.flatnonzero(~used))


def folds(table: pl.DataFrame, labels: Labels, task: Task, split: Split, count: int) -> list[tuple[Indices, Indices]]:
    """So many pairs (rows to search on, rows held out) for nested cross-validation.

    With a time column each fold holds out the next of count + 1 periods and searches on those before it.
    Raises `InputError` for fewer than 2 folds or more than there are rows or groups.
    """
    if count < 2:
        raise InputError(f"folds is {count}: give at least 2, or 0 for none")
    everything = np.arange(len(labels))
    if split.time_column is not None:
        ordered = _times(table, split, task)
        _check_enough(count, ordered, "times")
        made = []
        edges = np.quantile(ordered, np.arange(1, count + 1) / (count + 1), method="higher")
        for place, edge in enumerate(edges):
            end = edges[place + 1] if place + 1 < count else np.inf
            held = np.flatnonzero((ordered >= edge) & (ordered < end))
            made.append((np.flatnonzero(ordered < edge - _gap(table, split)), held))
        return [pair for pair in made if len(pair[0]) and len(pair[1])]
    units = groups_of(table, split, everything)
    _check_enough(count, units, f"groups of {split.groups!r}" if split.groups else "rows")
    places = _assigned(units, labels, task, [1.0 / count] * count, split.seed)
    made = [(np.flatnonzero(places != one), np.flatnonzero(places == one)) for one in range(count)]
    if any(not len(held) for _, held in made):
        raise InputError(f"the rows cannot be shared out over {count} folds: give fewer folds")
    return made


def _check_enough(count: int, units: npt.NDArray[np.number], what: str) -> None:
    if count > len(np.unique(units)):
        raise InputError(f"there are too few {what} for {count} folds: give fewer folds")


def times_of(table: pl.DataFrame, name: str) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    """A column of times (microseconds since 1970) or of numbers that rise with time; raises `InputError`."""
    times = table[name]
    if times.null_count():
        raise InputError(f"time_column {name!r} has {times.null_count()} nulls: drop those rows")
    if times.dtype.is_temporal() and times.dtype != pl.Time:
        if times.dtype == pl.Duration:
            return times.dt.total_microseconds().to_numpy()
        return times.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy()
    if times.dtype.is_integer():
        return times.cast(pl.Int64).to_numpy()
    if times.dtype.is_numeric():
        numbers = times.cast(pl.Float64).to_numpy()
        if not np.isfinite(numbers).all():
            raise InputError(f"time_column {name!r} holds NaN or infinite numbers: drop those rows")
        return numbers
    cure = f" with pl.col({name!r}).str.to_datetime()" if times.dtype == pl.String else ""
    raise InputError(f"time_column {name!r} is {times.dtype}: turn it into a date, a time or a number{cure}")


def _cut(
    table: pl.DataFrame, labels: Labels, task: Task, split: Split, rows: Indices, fraction: float
) -> tuple[Indices, Indices]:
    """Those rows divided: to know, and the `fraction` to judge by."""
    if split.time_column is not None:
        times = _times(table, split, task)[rows]
        first = np.sort(times)[min(int(len(rows) * (1 - fraction)), len(rows) - 1)]
        # Rows of the same instant stay together.
        return rows[times < first - _gap(table, split)], rows[times >= first]
    if split.groups is not None:
        groups = groups_of(table, split, rows)
        places = _assigned(groups, labels[rows], task, [1.0 - fraction, fraction], split.seed)
        return rows[places == 0], rows[places == 1]
    rng = np.random.default_rng(split.seed)
    classes = [np.flatnonzero(labels[rows] == v) for v in (0.0, 1.0)] if task == "classification" else [
        np.arange(len(rows))
    ]  # fmt: skip
    judged = np.zeros(len(rows), dtype=bool)
    for some in classes:
        judged[rng.permutation(some)[: max(1, round(len(some) * fraction))]] = True
    return rows[~judged], rows[judged]


def _by_column(table: pl.DataFrame, split: Split, task: Task) -> Division:
    marks = table[str(split.column)]
    if marks.dtype != pl.Boolean:
        raise InputError(f"validation_column {split.column!r} is {marks.dtype}: make it Boolean")
    if split.test_fraction:
        raise InputError("test_fraction and validation_column do not go together: mark rows in one of two ways")
    teaches = np.flatnonzero((~marks).fill_null(False).to_numpy())
    judges = np.flatnonzero(marks.fill_null(False).to_numpy())
    if not len(teaches) or not len(judges):
        lacks = "true (judges)" if not len(judges) else "false (teaches)"
        raise InputError(f"validation_column {split.column!r} is {lacks} in no row: mark rows of both kinds")
    if split.time_column is not None:
        times = times_of(table, split.time_column)
        late = int((times[teaches] >= times[judges].min() - _gap(table, split)).sum())
        if late:
            what = f" less the gap of {split.gap}" if split.gap else ""
            raise InputError(
                f"{late} rows to learn from are not before the first row to judge by{what}: the model would know the "
                f"future; make {split.column!r} null there, or judge by later rows"
            )
    if split.groups is not None and (split.time_column is None or task == "ranking"):
        groups = groups_of(table, split, np.arange(table.height))
        shared = np.intersect1d(groups[teaches], groups[judges])
        if len(shared):
            one = table[split.groups][int(np.flatnonzero(groups == shared[0])[0])]
            raise InputError(
                f"{len(shared)} groups of {split.groups!r} (e.g. {one!r}) are on both sides: the model would know "
                f"those it is judged by; give each group one value of {split.column!r}"
            )
    return Division(teaches, judges)


def _check_groups(table: pl.DataFrame, split: Split, task: Task) -> None:
    """Groups that stay whole are divided, so there are at least two."""
    if split.groups is None or (split.time_column is not None and task != "ranking"):
        return
    found = table[split.groups].drop_nulls().unique()
    if len(found) == 1:
        whole = "the column of queries, with two of them or more" if task == "ranking" else "another column, or none"
        raise InputError(
            f"groups {split.groups!r} is {found[0]!r} in every row, and a group is not divided into rows to learn from "
            f"and to judge by: name {whole}"
        )


def _times(table: pl.DataFrame, split: Split, task: Task) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    """The rows' times; in ranking a query is whole, and as late as its latest row."""
    times = times_of(table, str(split.time_column))
    if task != "ranking" or split.groups is None:
        return times
    _, codes = np.unique(groups_of(table, split, np.arange(table.height)), return_inverse=True)
    latest = np.full(int(codes.max()) + 1, times.min())
    np.maximum.at(latest, codes, times)
    return latest[codes]


def groups_of(table: pl.DataFrame, split: Split, rows: Indices) -> Indices:
    """A number for each row's group; without groups each row is its own. Raises `InputError` for nulls."""
    if split.groups is None:
        return rows
    column = table[split.groups]
    if column.null_count():
        raise InputError(f"groups {split.groups!r} has {column.null_count()} nulls: fill them or drop those rows")
    if column.dtype.is_nested() or column.dtype == pl.Object:
        raise InputError(f"groups {split.groups!r} is {column.dtype}: turn it into texts or numbers")
    codes: Indices = column.rank("dense").to_numpy().astype(np.int64)
    return codes[rows]


def _assigned(groups: Indices, labels: Labels, task: Task, shares: Sequence[float], seed: int) -> Indices:
    """The place of each row, whole groups, so that each place gets its share of the rows and of each class.

    Largest groups first, each to the place where it leaves the least squared distance to those shares.
    """
    _, codes = np.unique(groups, return_inverse=True)
    count = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    positive = (labels > 0.5).astype(np.float64) if task == "classification" else np.zeros(len(labels))
    sizes = np.bincount(codes, minlength=count)
    hits = np.bincount(codes, weights=positive, minlength=count)
    shuffled = rng.permutation(count)
    places = np.empty(count, dtype=np.int64)
    if count > _GREEDY_GROUPS:
        for one in (shuffled[hits[shuffled] > 0], shuffled[hits[shuffled] == 0]):
            ends = np.cumsum(sizes[one]) / max(1, sizes[one].sum())
            places[one] = np.minimum(np.searchsorted(np.cumsum(shares), ends - 1e-12), len(shares) - 1)
        return places[codes]
    order = shuffled[np.lexsort((-sizes[shuffled], -hits[shuffled]))]
    parts = np.column_stack((hits / max(1.0, hits.sum()), (sizes - hits) / max(1.0, float((sizes - hits).sum()))))
    left = np.outer(np.asarray(shares), np.ones(2))
    for one in order:
        # (left - part)^2 - left^2, without what is the same for all places
        gain = (parts[one] * left).sum(axis=1)
        best = int(np.argmax(gain)) if gain.any() else int(np.argmax(left.sum(axis=1)))
        places[one] = best
        left[best] -= parts[one]
    return places[codes]


def _gap(table: pl.DataFrame, split: Split) -> int:
    if not split.gap:
        return 0
    if split.time_column is not None and not table[split.time_column].dtype.is_temporal():
        raise InputError(f"a gap needs a time_column of dates or times; {split.time_column!r} is "
                         f"{table[split.time_column].dtype}")  # fmt: skip
    return duration_us(split.gap)
