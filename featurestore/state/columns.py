"""A column of features in its forms: numpy with a mask of nulls, plain objects, a Polars series."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...runtime.errors import DefinitionError
from ..definitions.schema import polars_type
from .finalize import Values

# Numbers and times (microseconds) with their nulls; or objects, None for null.
Column = Values | list[object] | pl.Series


def series(column: Column, dtype: str) -> pl.Series:
    """The column as a Polars series of its type, with nulls where there is no value."""
    if isinstance(column, pl.Series):
        return column
    if not isinstance(column, Values):
        if dtype == "list[timestamp]":
            return pl.Series(column, dtype=pl.List(pl.Int64)).cast(polars_type(dtype))
        return pl.Series(column, dtype=polars_type(dtype))
    made = pl.Series(column.values)
    if column.present is not None and not column.present.all():
        made = made.zip_with(pl.Series(column.present), pl.Series([None], dtype=made.dtype))
    return made.cast(polars_type(dtype)) if dtype == "timestamp" else made


def listed(column: Column, dtype: str) -> list[object]:
    """The column as Python objects, None for null; times as datetimes."""
    if isinstance(column, list) and dtype != "list[timestamp]":
        return column
    if not isinstance(column, Values) or dtype == "timestamp":
        return series(column, dtype).to_list()
    items: list[object] = column.values.tolist()
    if column.present is None or column.present.all():
        return items
    return [item if there else None for item, there in zip(items, column.present.tolist(), strict=True)]


def with_nan(column: Values) -> NDArray[Any]:
    """The numbers, null as NaN."""
    return column.values if column.present is None else np.where(column.present, column.values, np.nan)


def put_numbers(matrix: NDArray[np.float64], place: int, column: Column) -> None:
    """Writes one column of numbers into rows x columns, null as NaN."""
    if isinstance(column, Values):
        matrix[:, place] = with_nan(column)
    elif isinstance(column, pl.Series):
        # Each operation on a Series is a query of its own, some 50 us: most columns need none.
        if column.dtype != pl.Float64:
            column = column.cast(pl.Float64)
        matrix[:, place] = (column.fill_null(np.nan) if column.null_count() else column).to_numpy()
    else:
        raise DefinitionError("text and lists are no numbers; drop or encode them")
