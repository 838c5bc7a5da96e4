"""From merged state to the value of a feature: the one finaliser that online and offline share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..definitions.layout import Field, WindowedFeature
from ..definitions.schema import polars_type
from . import fixed_point, hyperloglog, moments, quantile_bins
from .fields import Column, Fields
from .fixed_point import Fixed
from .records import Records


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one feature, int64, float64 or bool; where `present` is False the value is null (and is 0 here).

    No `present`: every value is there.
    """

    values: NDArray[np.int64] | NDArray[np.float64] | NDArray[np.bool_]
    present: NDArray[np.bool_] | None = None


class Finalizer:
    """The features of one merged state; what several of them are made of is computed once."""

    def __init__(self, state: Fields) -> None:
        self._state = state
        self._floats: dict[Field, NDArray[np.float64]] = {}
        self._present: dict[Field, NDArray[np.bool_] | None] = {}

    def values(self, feature: WindowedFeature) -> Values | pl.Series:
        """One value a query. Empty windows: counts and sums are 0, everything else is null, lists too.

        Numbers are `Values`; text, times and lists are a series.
        """
        kind = feature.calculation.kind
        column = self._state[feature.fields[0]]
        if isinstance(column, Records):
            return _of_records(feature, column)
        count = _ints(column)
        if kind == "count":
            return Values(count)
        if kind == "sum":
            return Values(self._sums(feature))
        some = self._some(feature.fields[0], count)
        if kind in ("min", "max"):
            extreme = self._state[feature.fields[1]]
            assert isinstance(extreme, np.ndarray)
            return Values(extreme if some is None else np.where(some, extreme, extreme.dtype.type(0)), some)
        if kind == "avg":
            # The sum of no value is 0, so an empty window divides to 0.
            return Values(self._totals(feature) / (count if some is None else np.maximum(count, 1)), some)
        total, high, low = (_fixed(self._state[field]) for field in feature.fields[1:])
        scale = 0 if feature.integer else fixed_point.FLOAT_SCALE
        variance = moments.variances(count, total, high, low, scale)
        return Values(variance if kind == "var" else moments.deviations(variance), count > 1)

    def _some(self, field: Field, count: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Where there is a value at all, None for everywhere."""
        if field not in self._present:
            some = count > 0
            self._present[field] = None if some.all() else some
        return self._present[field]

    def _sums(self, feature: WindowedFeature) -> NDArray[np.int64] | NDArray[np.float64]:
        if feature.integer:
            return fixed_point.to_ints(_fixed(self._state[feature.fields[1]]))
        return self._totals(feature)

    def _totals(self, feature: WindowedFeature) -> NDArray[np.float64]:
        field = feature.fields[1]
        if field not in self._floats:
            scale = 0 if feature.integer else fixed_point.FLOAT_SCALE
            self._floats[field] = fixed_point.to_floats(_fixed(self._state[field]), scale=scale)
        return self._floats[field]


def _of_records(feature: WindowedFeature, found: Records) -> Values | pl.Series:
    calculation = feature.calculation
    if calculation.kind == "distinct":
        return Values(hyperloglog.counts(found.ends, found.columns[0]))
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


def _fixed(column: Column) -> Fixed:
    assert isinstance(column, Fixed)
    return column


def _ints(column: Column) -> NDArray[np.int64]:
    assert isinstance(column, np.ndarray)
    return column.astype(np.int64, copy=False)
