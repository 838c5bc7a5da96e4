"""What tells the answer away: the label among the features, moments after the row's own, one row on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import InputError
from .metric import Task, roc_auc
from .splits import Division, Indices, Labels

_SAMPLE = 512
_ALONE = 5_000
_FEWEST = 20
_TELLING = 0.3  # distinct values a row in some column: then rows that are the same in all columns are copies
_WORTH_A_LOOK = 0.99
_SURE = 0.9995
_ENOUGH = 200  # rows of the rarer class that one column does not tell apart by chance
_FEW_CODES = 20
_AT_ONCE = 500  # columns
_EPOCHS = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds in one
_LIFE_US = 5 * 366 * 86_400_000_000  # how far from the rows' times a number still reads as a time


def check_label_copies(table: pl.DataFrame, features: Sequence[str], labels: Labels, task: Task) -> None:
    """Raises `InputError` naming the features that are the label itself or a one-to-one image of it.

    In classification: a column of two values (null counts as one) that goes with the label; in regression: a
    column that orders all rows as the label does, or the other way round, ties included.
    """
    some = _sample(labels, task, _SAMPLE)
    looked_at = _suspects(table, features, labels) if task == "classification" else features
    copies = []
    for name in looked_at:
        column = table[name]
        if _is_image(column.gather(some), labels[some], task) and _is_image(column, labels, task):
            copies.append(name)
    if copies:
        listed = ", ".join(repr(name) for name in copies[:5]) + (", ..." if len(copies) > 5 else "")
        what = "is the label" if len(copies) == 1 else "are the label"
        raise InputError(f"{listed} {what} in another form, which is not known when one predicts: drop or ignore it")


def check_perfect_features(
    table: pl.DataFrame, features: Sequence[str], labels: Labels, *, trusted: Sequence[str] = ()
) -> None:
    """Raises `InputError` for a feature that alone tells every class without an error, over many rows.

    Either an order in which no class returns (an area under the ROC curve of 1), or some codes each of which goes
    with one class. Classes of fewer than 200 rows could be told so by chance; those `trusted` are left out.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    if not 2 <= len(classes) <= _FEW_CODES or sizes.min() < _ENOUGH:
        return
    looked_at = _suspects(table, [name for name in features if name not in trusted], labels)
    found = [name for name in looked_at if _tells_all(table[name], labels)]
    if found:
        listed = ", ".join(repr(name) for name in found[:5]) + (", ..." if len(found) > 5 else "")
        raise InputError(
            f"{listed} alone tells every one of the {len(labels):,} labels: was it written down after the label? Drop "
            "or ignore it; where it is known in time, name it in options.trusted"
        )


def check_future_times(
    table: pl.DataFrame, features: Sequence[str], time_column: str | None, *, trusted: Sequence[str] = ()
) -> None:
    """Raises `InputError` for a feature of moments (s, ms or us since 1970) some of which come after the row's own.

    A column counts as one of moments where all its values lie within five years of the rows' times.
    """
    if time_column is None or not table[time_column].dtype.is_temporal() or table[time_column].dtype == pl.Time:
        return
    if table[time_column].dtype == pl.Duration:
        return
    times = table[time_column].cast(pl.Datetime("us")).cast(pl.Int64)
    low, high = times.min(), times.max()
    if not isinstance(low, int) or not isinstance(high, int):
        return
    for name in features:
        column = table[name]
        if name in trusted or not column.dtype.is_numeric():
            continue
        least, most = column.min(), column.max()
        if not isinstance(least, int | float) or not isinstance(most, int | float) or most < _EPOCHS["us"]:
            continue
        for unit, factor in _EPOCHS.items():
            if least * factor < low - _LIFE_US or most * factor > high + _LIFE_US:
                continue
            known = pl.DataFrame({"at": times, "x": column.cast(pl.Float64) * factor}).fill_nan(None).drop_nulls()
            late = known.filter(pl.col("x") >= pl.col("at") + factor).height  # of the same second is not after
            if late:
                raise InputError(
                    f"{name!r} holds times ({unit} since 1970) after the row's own {time_column!r} in {late:,} rows, "
                    "which were not known then: drop or ignore it; a time that is (a due date), name in options.trusted"
                )


def check_row_copies(table: pl.DataFrame, division: Division, *, without: str | None) -> None:
    """Raises `InputError` where rows that judge or test are among those before, too, the same in every column.

    `without` is a column that does not count (the one that divides). Where no column has many values rows are
    the same by chance, and nothing is raised.
    """
    seen = table.drop(without) if without else table
    richest = (
        seen.select(pl.exclude(pl.List, pl.Array, pl.Struct, pl.Object).approx_n_unique()).transpose().max().item()
    )
    if float(richest) <= _TELLING * table.height:
        return
    hashes = seen.select(pl.exclude(pl.Object)).hash_rows(seed=0).to_numpy()
    sides = (("judge", division.judges, division.teaches),
             ("test", division.tests, np.concatenate((division.teaches, division.judges))))  # fmt: skip
    for what, rows, before in sides:
        again = int(np.isin(hashes[rows], hashes[before]).sum())
        if again:
            raise InputError(
                f"{again} of the {len(rows)} rows to {what} by are among the rows to learn from, too, the same "
                "in every column: drop the copies first, e.g. with table.unique()"
            )


def telling_alone(table: pl.DataFrame, features: Sequence[str], labels: Labels, task: Task) -> list[str]:
    """The features that tell the label (nearly) alone, each as a sentence: perhaps not known in time.

    Looked for among at most 5,000 rows (half of each class); nulls and rows whose
    label is NaN are left out.
    """
    few, many = _sample(labels, task, _SAMPLE), _sample(labels, task, _ALONE)
    worth_a_look = []
    for start in range(0, len(features), _AT_ONCE):
        names = features[start : start + _AT_ONCE]
        columns = table.select(names)[few].cast(pl.Float64).fill_null(np.nan).to_numpy().T
        told_few = (_told(column, labels[few], task) for column in columns)
        worth_a_look += [name for name, told in zip(names, told_few, strict=True) if told >= _WORTH_A_LOOK]
    found = []
    for name in worth_a_look:
        told = _told(table[name].gather(many).cast(pl.Float64).fill_null(np.nan).to_numpy(), labels[many], task)
        if told >= _SURE:
            found.append(f"{name!r} tells the label nearly alone ({told:.4f}): is it known before the label is?")
    return found


def _told(values: npt.NDArray[np.float64], labels: Labels, task: Task) -> float:
    """From 0.5 or 0 (nothing) to 1 (all): the area under the ROC curve, or |Pearson's r|."""
    known = np.isfinite(values) & np.isfinite(labels)
    y, x = labels[known], values[known]
    if len(y) < 50 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    if task == "classification":
        area = roc_auc(y, x)
        return max(area, 1 - area)
    return abs(float(np.corrcoef(x, y)[0, 1]))


def _suspects(table: pl.DataFrame, features: Sequence[str], labels: Labels) -> list[str]:
    """The features in whose order, over some rows, the classes take few turns; thousands of columns in a second."""
    some = _sample(labels, "classification", _SAMPLE)
    some = some[np.argsort(labels[some], kind="stable")]  # equal values keep that order: each has a turn a class
    y, found = labels[some], []
    for start in range(0, len(features), _AT_ONCE):
        names = features[start : start + _AT_ONCE]
        rows = table.select(names)[some].cast(pl.Float64).to_numpy()
        turns = np.count_nonzero(np.diff(y[np.argsort(rows, axis=0, kind="stable")], axis=0), axis=0)
        found += [name for name, count in zip(names, turns, strict=True) if count < 2 * _FEW_CODES]
    return found


def _tells_all(column: pl.Series, labels: Labels) -> bool:
    pairs = pl.DataFrame({"x": column.cast(pl.Float64).fill_nan(None), "y": labels}).unique()
    if pairs["x"].n_unique() < pairs.height:
        return False  # one value goes with two classes
    classes = pairs["y"].n_unique()
    if pairs.height <= _FEW_CODES:
        return classes > 1
    ordered = pairs.drop_nulls().sort("x")["y"].to_numpy()
    return classes > 1 and int(np.count_nonzero(np.diff(ordered))) == classes - 1


def _is_image(column: pl.Series, labels: Labels, task: Task) -> bool:
    values = column.cast(pl.Float64).fill_nan(None)
    if task == "classification":
        pairs = pl.DataFrame({"x": values, "y": labels > 0.5}).unique()
        return pairs.height == 2 and pairs["x"].n_unique() == 2 and pairs["y"].n_unique() == 2
    if values.null_count() or len(labels) < _FEWEST:
        return False
    # The labels are rounded to float32: where they tie, the column may still rise.
    if values.n_unique() < max(3, len(np.unique(labels)) // 4):
        return False
    x = values.to_numpy()
    return any(bool((np.diff(way[np.lexsort((way, labels))]) >= 0).all()) for way in (x, -x))


def _sample(labels: Labels, task: Task, most: int) -> Indices:
    """Row numbers, half of them positives where there are enough."""
    rng = np.random.default_rng(0)
    if task != "classification":
        return np.sort(rng.permutation(len(labels))[:most])
    sides = [rng.permutation(np.flatnonzero(side))[: most // 2] for side in (labels > 0.5, labels <= 0.5)]
    return np.sort(np.concatenate(sides))
