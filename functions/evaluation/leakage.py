"""What tells the answer away: the label among the features, one row on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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


def check_label_copies(table: pl.DataFrame, features: Sequence[str], labels: Labels, task: Task) -> None:
    """Raises `InputError` naming the features that are the label itself or a one-to-one image of it.

    In classification: a column of two values (null counts as one) that goes with the label; in regression: a
    column that orders all rows as the label does, or the other way round, ties included.
    """
    some = _sample(labels, task, _SAMPLE)
    copies = []
    for name in features:
        column = table[name]
        if _is_image(column.gather(some), labels[some], task) and _is_image(column, labels, task):
            copies.append(name)
    if copies:
        listed = ", ".join(repr(name) for name in copies[:5]) + (", ..." if len(copies) > 5 else "")
        what = "is the label" if len(copies) == 1 else "are the label"
        raise InputError(f"{listed} {what} in another form, which is not known when one predicts: drop or ignore it")


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
    found = []
    for name in features:
        if _told(table[name].gather(few), labels[few], task) < _WORTH_A_LOOK:
            continue
        told = _told(table[name].gather(many), labels[many], task)
        if told >= _SURE:
            found.append(f"{name!r} tells the label nearly alone ({told:.4f}): is it known before the label is?")
    return found


def _told(column: pl.Series, labels: Labels, task: Task) -> float:
    """From 0.5 or 0 (nothing) to 1 (all): the area under the ROC curve, or |Pearson's r|."""
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = np.isfinite(values) & np.isfinite(labels)
    y, x = labels[known], values[known]
    if len(y) < 50 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    if task == "classification":
        area = roc_auc(y, x)
        return max(area, 1 - area)
    return abs(float(np.corrcoef(x, y)[0, 1]))


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
    if task == "regression":
        return np.sort(rng.permutation(len(labels))[:most])
    sides = [rng.permutation(np.flatnonzero(side))[: most // 2] for side in (labels > 0.5, labels <= 0.5)]
    return np.sort(np.concatenate(sides))
