"""From merged state to the value of a feature: the one finaliser that online and offline share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..definitions.layout import ROWS, WindowedFeature
from ..definitions.schema import polars_type
from . import fixed_point, hyperloglog, moments, quantile_bins
from .fields import Column, Fields
from .fixed_point import Fixed
from .records import Records


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one feature, int64, float64 or bool; where `present` is False the value is null (and is 0 here)."""

    values: NDArray[np.int64] | NDArray[np.float64] | NDArray[np.bool_]
    present: NDArray[np.bool_]


def finalize(feature: WindowedFeature, state: Fields) -> Values | pl.Series:
    """One value a query. Empty windows: counts and sums are 0, everything else is null, lists too.

    Numbers are `Values`; text, times and lists are a series.
    """
    kind = feature.calculation.kind
    if feature.fields == (ROWS,):
        return _counts(_ints(state[ROWS]))
    column = state[feature.fields[0]]
    if isinstance(column, Records):
        return _of_records(feature, column)
    count = _ints(column)
    some = count > 0
    if kind == "count":
        return _counts(count)
    if kind in ("min", "max"):
        extreme = state[feature.fields[1]]
        assert isinstance(extreme, np.ndarray)
        return Values(np.where(some, extreme, np.zeros(1, dtype=extreme.dtype)), some)
    total = _fixed(state[feature.fields[1]])
    scale = 0 if feature.integer else fixed_point.FLOAT_SCALE
    if kind == "sum":
        whole = fixed_point.to_ints(total) if feature.integer else fixed_point.to_floats(total, scale=scale)
        return Values(whole, np.ones(len(count), dtype=bool))
    if kind == "avg":
        mean = fixed_point.to_floats(total, scale=scale) / np.where(some, count, 1)
        return Values(np.where(some, mean, 0.0), some)
    high, low = (_fixed(state[field]) for field in feature.fields[2:])
    variance = moments.variances(count, total, high, low, scale)
    return Values(variance if kind == "var" else moments.deviations(variance), count > 1)


def _of_records(feature: WindowedFeature, found: Records) -> Values | pl.Series:
    calculation = feature.calculation
    if calculation.kind == "distinct":
        return _counts(hyperloglog.counts(found.ends, found.columns[0]))
    if calculation.kind == "quantile":
        bins, counts = found.columns
        return Values(*quantile_bins.quantiles(found.ends, bins, counts, calculation.quantile))
    if calculation.kind == "last_n":
        return _lists(feature, found, found.columns[2], most=calculation.size)
    if calculation.kind == "top_k":
        return _lists(feature, found, found.columns[0], most=calculation.size)
    some = found.counts > 0
    places = np.maximum(found.ends - (1 if calculation.kind == "last" else found.counts), 0)
    values = found.columns[2]
    chosen = values[np.minimum(places, len(values) - 1)] if len(values) else np.zeros(len(some), dtype=values.dtype)
    if feature.dtype in ("int64", "float64", "bool"):
        return Values(np.where(some, chosen, 0).astype(feature.dtype), some)
    series = pl.Series([value if there else None for value, there in zip(chosen.tolist(), some.tolist(), strict=True)])
    return series.cast(polars_type(feature.dtype))


def _lists(feature: WindowedFeature, found: Records, values: NDArray[Any], *, most: int) -> pl.Series:
    """The newest or largest first."""
    flat, rows, begin = values.tolist(), [], 0
    for end in found.ends.tolist():
        rows.append(flat[max(begin, end - most) : end][::-1] or None)
        begin = end
    dtype = polars_type(feature.dtype)
    return pl.Series(rows, dtype=pl.List(pl.Int64) if values.dtype == np.int64 else dtype).cast(dtype)


def _counts(count: NDArray[np.int64]) -> Values:
    return Values(count, np.ones(len(count), dtype=bool))


def _fixed(column: Column) -> Fixed:
    assert isinstance(column, Fixed)
    return column


def _ints(column: Column) -> NDArray[np.int64]:
    assert isinstance(column, np.ndarray)
    return column.astype(np.int64, copy=False)
