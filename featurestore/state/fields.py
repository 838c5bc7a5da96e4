"""The state of aggregates in columns of numpy arrays: made from events and merged in runs.

Everything that computes a windowed feature, online or offline, batch or stream, goes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..definitions.layout import Field
from . import fixed_point, hyperloglog, moments, quantile_bins, records, reductions
from .fixed_point import Fixed
from .records import Records

Int64s = NDArray[np.int64]
Column = Int64s | NDArray[np.float64] | Fixed | Records
Fields = Mapping[Field, Column]  # columns of equal length: one entry an event, a tile or a query


def identity(field: Field) -> float | int:
    """What an extreme starts from: it loses against every value."""
    if field.integer:
        bounds = np.iinfo(np.int64)
        return int(bounds.max if field.kind == "min" else bounds.min)
    return np.inf if field.kind == "min" else -np.inf


@dataclass(frozen=True, slots=True)
class Moments:
    """When each event was and where it stands in the log; what first and last are decided by."""

    ts_us: Int64s
    offsets: Int64s


def of_events(frame: pl.DataFrame, wanted: tuple[Field, ...], when: Moments) -> dict[Field, Column]:
    """One entry an event: a tile that holds that event alone. Nulls and NaN count as no value, -0.0 as 0.0."""
    made: dict[Field, Column] = {}
    columns: dict[str, _Values] = {}
    squares: dict[str, tuple[Fixed, Fixed]] = {}
    for field in wanted:
        if field.kind == "rows":
            made[field] = np.ones(frame.height, dtype=np.int64)
            continue
        if field.column not in columns:
            columns[field.column] = _values(frame[field.column], field.dtype)
        values, present = columns[field.column]
        if field.kind == "n":
            made[field] = present.astype(np.int64)
        elif field.kind == "sum":
            made[field] = _fixed(field, values, present)
        elif field.kind in ("square_high", "square_low"):
            if field.column not in squares:
                squares[field.column] = moments.squares(_fixed(field, values, present))
            made[field] = squares[field.column][field.kind == "square_low"]
        elif field.kind in ("min", "max"):
            made[field] = np.where(present, values, np.asarray(identity(field), dtype=values.dtype))
        else:
            made[field] = _records(field, frame[field.column], values, present, when)
    return made


def merge_runs(fields: Fields, starts: NDArray[np.intp]) -> dict[Field, Column]:
    """Merges each run of entries that begins at `starts` (ascending, runs not empty) to one."""
    return {field: _merge(field, column, starts) for field, column in fields.items()}


def merge_spans(fields: Fields, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> dict[Field, Column]:
    """Merges the entries of [start, end) for each pair to one, of state of fixed size; spans are not empty.

    There must be an entry more than any span holds: numpy reduces up to a place, which is the next span's start or
    lies between two spans, so what it makes of every second run is dropped.
    """
    places = np.empty((len(starts), 2), dtype=np.intp)
    places[:, 0], places[:, 1] = starts, ends
    return {field: _merge(field, column, places.reshape(-1))[::2] for field, column in fields.items()}


def take(fields: Fields, index: NDArray[np.intp]) -> dict[Field, Column]:
    """The entries at these positions."""
    return {field: column[index] for field, column in fields.items()}


def joined(parts: list[Fields]) -> dict[Field, Column]:
    """The entries of all parts, one after the other; the parts have the same fields."""
    return {field: _joined([part[field] for part in parts]) for field in parts[0]}


def nothing(fields: Fields, count: int) -> dict[Field, Column]:
    """The empty state, `count` times."""
    return {field: _empty(field, column, count) for field, column in fields.items()}


def spread(fields: Fields, places: NDArray[np.intp], count: int) -> dict[Field, Column]:
    """Entries put at `places` among `count`; the empty state elsewhere."""
    made: dict[Field, Column] = {}
    for field, column in fields.items():
        whole = made[field] = _empty(field, column, count)
        if isinstance(column, Records):
            made[field] = records.spread(column, places, count)
        elif isinstance(whole, Fixed) and isinstance(column, Fixed):
            whole.hi[places], whole.lo[places] = column.hi, column.lo
        elif isinstance(whole, np.ndarray) and isinstance(column, np.ndarray):
            whole[places] = column
    return made


_Values = tuple[NDArray[Any], NDArray[np.bool_]]


def _values(series: pl.Series, dtype: str) -> _Values:
    # An operation of a series is a query of its own, some 0.2 ms, so there is none that is not needed.
    nulls = series.null_count() > 0
    if dtype == "float64":
        wide = series if series.dtype == pl.Float64 else series.cast(pl.Float64)
        values = (wide.fill_null(np.nan) if nulls else wide).to_numpy() + 0.0  # -0.0 + 0.0 is 0.0
        return values, ~np.isnan(values)
    present = series.is_not_null().to_numpy() if nulls else np.ones(len(series), dtype=bool)
    if dtype == "string":
        return series.to_numpy(), present
    whole = series if series.dtype == pl.Int64 else series.cast(pl.Int64)
    return (whole.fill_null(0) if nulls else whole).to_numpy(), present


def _fixed(field: Field, values: NDArray[Any], present: NDArray[np.bool_]) -> Fixed:
    filled = np.where(present, values, 0)
    return fixed_point.from_ints(filled) if field.integer else fixed_point.from_floats(filled)


def _records(
    field: Field, series: pl.Series, values: NDArray[Any], present: NDArray[np.bool_], when: Moments
) -> Records:
    here = values[present]
    if field.kind in ("first", "recent"):
        columns: records.Flat = (when.ts_us[present], when.offsets[present], here)
    elif field.kind == "distinct":
        text = field.dtype == "string"
        columns = (hyperloglog.hashes(series.drop_nulls() if text else pl.Series(here)),)
    elif field.kind == "bins":
        columns = (quantile_bins.bins(here.astype(np.float64)), np.ones(len(here), dtype=np.int64))
    else:
        columns = (here,)
    return Records(np.cumsum(present), columns)


def _merge(field: Field, column: Column, starts: NDArray[np.intp]) -> Column:
    if isinstance(column, Records):
        return reductions.merge_runs(field, column, starts)
    if isinstance(column, Fixed):
        return fixed_point.sums_at(column, starts)
    if field.kind == "min":
        return np.minimum.reduceat(column, starts)
    if field.kind == "max":
        return np.maximum.reduceat(column, starts)
    return np.add.reduceat(column, starts)


def _empty(field: Field, column: Column, count: int) -> Column:
    if isinstance(column, Records):
        return records.empty(column, count)
    if isinstance(column, Fixed):
        return Fixed(np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.uint64))
    if field.kind in ("min", "max"):
        extremes: NDArray[Any] = np.full_like(column, identity(field), shape=count)
        return extremes
    return np.zeros(count, dtype=np.int64)


def _joined(columns: list[Column]) -> Column:
    lists = [column for column in columns if isinstance(column, Records)]
    if lists:
        return records.concatenated(lists)
    fixed = [column for column in columns if isinstance(column, Fixed)]
    if fixed:
        return fixed_point.concatenated(fixed)
    return np.concatenate([column for column in columns if isinstance(column, np.ndarray)])
