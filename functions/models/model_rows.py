"""The rows of a table as a model takes them, with their labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import InputError, did_you_mean
from ..evaluation.splits import Split, groups_of
from ..training.learner import Rows
from .model import Model

Codes = npt.NDArray[np.int64]


def model_rows(model: Model, table: pl.DataFrame, *, groups: str = "") -> tuple[Rows, Rows, Codes | None]:
    """Rows x the model's features (NaN for null), the labels, and in ranking the number of each row's query.

    Raises `InputError` for a table that lacks a column, or has no rows.
    """
    for name in (*model.features, model.label, *([groups] if groups else [])):
        if name not in table.columns:
            raise InputError(f"the table lacks {name!r}{did_you_mean(name, table.columns)}")
    if not table.height:
        raise InputError("the table has no rows")
    columns = [table[name].cast(pl.Float32).fill_null(np.nan).to_numpy() for name in model.features]
    labels = table[model.label].cast(pl.Float32).fill_null(np.nan).to_numpy()
    queries = groups_of(table, Split(groups=groups), np.arange(table.height)) if model.task == "ranking" else None
    return np.column_stack(columns), labels, queries
