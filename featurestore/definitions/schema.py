"""Column types, and the check that turns rows or frames into a frame of exactly those types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from ...runtime.errors import DefinitionError, InputError, did_you_mean

TIMESTAMP = pl.Datetime("us", "UTC")
POLARS: dict[str, pl.DataType] = {
    "int64": pl.Int64(),
    "int32": pl.Int32(),
    "float64": pl.Float64(),
    "float32": pl.Float32(),
    "bool": pl.Boolean(),
    "string": pl.String(),
    "timestamp": TIMESTAMP,
}
NUMERIC = ("int64", "int32", "float64", "float32", "bool")
_INTEGERS, _FLOATS = ("int64", "int32"), ("float64", "float32")
_NAMES: dict[pl.DataType, str] = {polars: name for name, polars in POLARS.items()}
_NARROW = frozenset({pl.Int8(), pl.Int16(), pl.UInt8(), pl.UInt16(), pl.UInt32()})
_NESTED = re.compile(r"list\[(\w+)\]|vector\[([1-9]\d{0,4})\]")
_KNOWN = (*POLARS, "list[float64]", "vector[128]")


def polars_type(dtype: str) -> pl.DataType:
    """The Polars type of a schema's type: a scalar, `list[SCALAR]`, or `vector[N]` (N float32); raises `KeyError`."""
    nested = _NESTED.fullmatch(dtype)
    if nested is None:
        return POLARS[dtype]
    return pl.List(POLARS[nested[1]]) if nested[1] else pl.Array(pl.Float32(), int(nested[2]))


def check_schema(owner: str, schema: Mapping[str, str]) -> None:
    """Raises `DefinitionError` for an unknown type, with the nearest one."""
    for column, dtype in schema.items():
        try:
            polars_type(str(dtype))
        except KeyError:
            raise DefinitionError(
                f"{owner}: column {column!r} has the unknown type {dtype!r}{did_you_mean(str(dtype), _KNOWN)}; "
                f"there are {', '.join(POLARS)}, list[...] of one of them, and vector[N]"
            ) from None


def conform(
    rows: pl.DataFrame | Sequence[Mapping[str, object]], schema: Mapping[str, str], *, owner: str
) -> pl.DataFrame:
    """The rows as a frame with the schema's columns and types, in the schema's order; other columns are left out.

    Raises `InputError` that names the column, and the value where one does not fit. A column may hold nulls.
    """
    frame = rows if isinstance(rows, pl.DataFrame) else _from_rows(rows, schema, owner=owner)
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        known = frame.columns if isinstance(rows, pl.DataFrame) else {name for row in rows[:100] for name in row}
        raise InputError(f"{owner}: column {missing[0]!r} is missing{did_you_mean(missing[0], known)}")
    return frame.select(_cast(frame[column], dtype, owner=owner) for column, dtype in schema.items())


def empty(schema: Mapping[str, str]) -> pl.DataFrame:
    """A frame of these columns with no row."""
    return pl.DataFrame(schema={column: polars_type(dtype) for column, dtype in schema.items()})


def dtype_of(polars: pl.DataType, *, owner: str, column: str) -> str:
    """The schema's name of a Polars type (narrow integers count as int64); raises `DefinitionError`."""
    if polars in _NAMES:
        return _NAMES[polars]
    if polars in _NARROW:
        return "int64"
    if isinstance(polars, pl.Datetime):
        return "timestamp"
    if isinstance(polars, pl.Array) and polars.inner == pl.Float32:
        return f"vector[{polars.size}]"
    if isinstance(polars, pl.List) and not isinstance(polars.inner, pl.List | pl.Array):
        return f"list[{dtype_of(pl.Series(dtype=polars.inner).dtype, owner=owner, column=column)}]"
    raise DefinitionError(f"{owner}: column {column!r} has type {polars}; cast it to one of {', '.join(_KNOWN)}")


def _from_rows(rows: Sequence[Mapping[str, object]], schema: Mapping[str, str], *, owner: str) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    for column, dtype in schema.items():
        values = [row.get(column) for row in rows]
        if rows and all(column not in row for row in rows):
            continue
        try:
            columns[column] = pl.Series(column, values, strict=True)
        except (TypeError, pl.exceptions.PolarsError):
            kinds = sorted({type(value).__name__ for value in values if value is not None})
            if dtype in ("float64", "float32") and kinds == ["float", "int"]:
                columns[column] = pl.Series(column, values, dtype=pl.Float64, strict=False)
                continue
            raise InputError(f"{owner}: column {column!r} mixes {' and '.join(kinds)}; give one type") from None
    if not rows:
        return empty(schema)
    return pl.DataFrame(columns)


def _cast(series: pl.Series, dtype: str, *, owner: str) -> pl.Series:
    target, found = polars_type(dtype), series.dtype
    if found == target:
        return series
    if dtype == "timestamp":
        return _to_timestamp(series, owner=owner)
    if not _fits(found, dtype):
        value = series.drop_nulls().head(1).to_list()
        raise InputError(f"{owner}: column {series.name!r} must be {dtype}, got {found} (for example {value[0]!r})")
    try:
        return series.cast(target)
    except pl.exceptions.PolarsError:
        what = f"a list that is no {dtype}" if isinstance(target, pl.Array) else f"a value beyond {dtype}"
        raise InputError(f"{owner}: column {series.name!r} holds {what}") from None


def _fits(found: pl.DataType, dtype: str) -> bool:
    if isinstance(found, pl.List | pl.Array):
        inner = pl.Series(dtype=found.inner).dtype
        wanted = "float32" if dtype.startswith("vector") else dtype.removeprefix("list[").removesuffix("]")
        return wanted != dtype and (inner == POLARS[wanted] or _fits(inner, wanted))
    return (
        found == pl.Null
        or (dtype in _INTEGERS and found.is_integer())
        or (dtype in _FLOATS and found.is_numeric())
        or (dtype == "string" and found in (pl.Categorical, pl.Enum))
    )


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
