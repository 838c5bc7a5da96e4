"""Rows to be ordered come in queries: what a table of them must have, and how libraries want them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...runtime.errors import InputError
from ..evaluation.ndcg import HIGHEST_GRADE
from .learner import Fold, Rows

Codes = npt.NDArray[np.int64]


def check_grades(name: str, labels: Rows) -> None:
    """Raises `InputError` for labels that are no grades."""
    if (labels < 0).any() or (labels > HIGHEST_GRADE).any() or (labels != np.floor(labels)).any():
        raise InputError(
            f"label {name!r} goes from {labels.min():g} to {labels.max():g}: a ranking learns from grades, whole "
            f"numbers from 0 (no use) to {HIGHEST_GRADE}"
        )


def check_queries(groups: str, labels: Rows, queries: Codes, sides: Mapping[str, Codes]) -> None:
    """Raises `InputError` for a side, by what its rows are for, where no query has two grades: there is no order."""
    for what, rows in sides.items():
        order = np.lexsort((labels[rows], queries[rows]))
        same = queries[rows][order][1:] == queries[rows][order][:-1]
        if not same.any():
            raise InputError(
                f"every group of {groups!r} has one row among those {what}: a ranking orders the rows of a query, so "
                "name the column that rows of one query share"
            )
        if not (same & (np.diff(labels[rows][order]) > 0)).any():
            raise InputError(
                f"no group of {groups!r} has two different grades among the rows {what}: there is no order to learn"
            )


def query_by_query(fold: Fold, *, taught: bool) -> tuple[Rows, Rows, Codes]:
    """The rows to learn from (all rows, unless `taught`), their labels and queries, those of a query in a row."""
    if fold.queries is None:
        raise InputError("a ranking needs groups, the column that names each row's query")
    rows = slice(0, fold.train_rows) if taught else slice(None)
    x, y, queries = fold.x[rows], fold.y[rows], fold.queries[rows]
    if (np.diff(queries) >= 0).all():
        return x, y, queries
    order = np.argsort(queries, kind="stable")
    return x[order], y[order], queries[order]
