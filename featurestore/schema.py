"""Column types, and the check that turns rows or frames into a frame of exactly those types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import polars as pl

from ..runtime.errors import DefinitionError, InputError, did_you_mean

DType = Literal["int64", "float64", "bool", "string", "timestamp"]
TIMESTAMP = pl.Datetime("us", "UTC")
POLARS: dict[str, pl.DataType] = {
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "timestamp": TIMESTAMP,
}
_NAMES: dict[pl.DataType, DType] = {polars: name for name, polars in POLARS.items()}  # type: ignore[misc]
_WIDENED: tuple[tuple[frozenset[pl.DataType], str], ...] = (
    (frozenset({pl.Int8(), pl.Int16(), pl.Int32(), pl.UInt8(), pl.UInt16(), pl.UInt32()}), "int64"),
    (frozenset({pl.Float32()}), "float64"),
)


def check_schema(owner: str, schema: Mapping[str, str]) -> None:
    """Raises `DefinitionError` for a type that is not one of the five."""
    for column, dtype in schema.items():
        if dtype not in POLARS:
            raise DefinitionError(
                f"{owner}: column {column!r} has the unknown type {dtype!r}{did_you_mean(str(dtype), get_args(DType))}"
            )


def conform(
    rows: pl.DataFrame | Sequence[Mapping[str, object]], schema: Mapping[str, str], *, owner: str
) -> pl.DataFrame:
    """The rows as a frame with the schema's columns and types, in the schema's order; other columns are left out.

    Raises `InputError` that names the column, and the value where one does not fit. A column may hold nulls.
    """
    frame = rows if isinstance(rows, pl.DataFrame) else _from_rows(rows, schema, owner=owner)
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise InputError(f"{owner}: column {missing[0]!r} is missing{did_you_mean(missing[0], frame.columns)}")
    return frame.select(_cast(frame[column], dtype, owner=owner) for column, dtype in schema.items())


def empty(schema: Mapping[str, str]) -> pl.DataFrame:
    """A frame of these columns with no row."""
    return pl.DataFrame(schema={column: POLARS[dtype] for column, dtype in schema.items()})


def dtype_of(polars: pl.DataType, *, owner: str, column: str) -> DType:
    """The schema's name of a Polars type (narrow numbers count as their 64-bit kin); raises `DefinitionError`."""
    if polars in _NAMES:
        return _NAMES[polars]
    for kin, name in _WIDENED:
        if polars in kin:
            return _NAMES[POLARS[name]]
    if isinstance(polars, pl.Datetime):
        return "timestamp"
    raise DefinitionError(f"{owner}: column {column!r} has type {polars}; cast it to one of {', '.join(POLARS)}")


def _from_rows(rows: Sequence[Mapping[str, object]], schema: Mapping[str, str], *, owner: str) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    for column in schema:
        values = [row.get(column) for row in rows]
        if rows and all(column not in row for row in rows):
            continue
        try:
            columns[column] = pl.Series(column, values, strict=True)
        except (TypeError, pl.exceptions.PolarsError):
            kinds = sorted({type(value).__name__ for value in values if value is not None})
            raise InputError(f"{owner}: column {column!r} mixes {' and '.join(kinds)}; give one type") from None
    if not rows:
        return empty(schema)
    return pl.DataFrame(columns)


def _cast(series: pl.Series, dtype: str, *, owner: str) -> pl.Series:
    target, found = POLARS[dtype], series.dtype
    if found == target:
        return series
    if dtype == "timestamp":
        return _to_timestamp(series, owner=owner)
    fits = (
        found == pl.Null
        or (dtype == "int64" and found.is_integer())
        or (dtype == "float64" and found.is_numeric())
        or (dtype == "string" and found in (pl.Categorical, pl.Enum))
    )
    if not fits:
        value = series.drop_nulls().head(1).to_list()
        raise InputError(f"{owner}: column {series.name!r} must be {dtype}, got {found} (for example {value[0]!r})")
    try:
        return series.cast(target)
    except pl.exceptions.InvalidOperationError:
        raise InputError(f"{owner}: column {series.name!r} holds a value beyond {dtype}") from None


def _to_timestamp(series: pl.Series, *, owner: str) -> pl.Series:
    if isinstance(series.dtype, pl.Datetime):
        if series.dtype.time_zone is None:
            return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return series.dt.convert_time_zone("UTC").cast(TIMESTAMP)
    if series.dtype == pl.Date:
        return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if series.dtype.is_integer():
        return series.cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if series.dtype == pl.String:
        try:
            return series.str.to_datetime(time_unit="us", time_zone="UTC", strict=True)
        except pl.exceptions.PolarsError:
            bad = series.filter(series.str.to_datetime(time_unit="us", time_zone="UTC", strict=False).is_null())
            value = bad.drop_nulls().head(1).to_list()
            raise InputError(
                f"{owner}: column {series.name!r} holds {value[0] if value else None!r}, "
                "not a time like 2026-01-31T12:00:00Z"
            ) from None
    if series.dtype == pl.Null:
        return series.cast(TIMESTAMP)
    raise InputError(
        f"{owner}: column {series.name!r} must be a time (datetime, ISO text or microseconds), got {series.dtype}"
    )
