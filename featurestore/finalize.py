"""From merged state to the value of a feature: the one finaliser that online and offline share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import fixed_point
from .aggregates import EVERY_ROW
from .fields import Fields
from .fixed_point import Fixed
from .layout import Field, WindowedFeature


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one feature, int64, float64 or bool; where `present` is False the value is null (and is 0 here)."""

    values: NDArray[np.int64] | NDArray[np.float64] | NDArray[np.bool_]
    present: NDArray[np.bool_]


def finalize(feature: WindowedFeature, state: Fields) -> Values:
    """One value a query. Empty windows: counts and sums are 0, everything else is null."""
    if feature.column == EVERY_ROW:
        rows = _ints(state[Field(EVERY_ROW, "rows", integer=True)])
        return Values(rows, np.ones(len(rows), dtype=bool))
    count = _ints(state[Field(feature.column, "n", feature.integer)])
    some = count > 0
    if feature.function == "count":
        return Values(count, np.ones(len(count), dtype=bool))
    if feature.function in ("sum", "avg"):
        total = state[Field(feature.column, "sum", feature.integer)]
        assert isinstance(total, Fixed)
        if feature.function == "sum":
            whole = fixed_point.to_ints(total) if feature.integer else fixed_point.to_floats(total, scale=44)
            return Values(whole, np.ones(len(count), dtype=bool))
        scale = 0 if feature.integer else fixed_point.FLOAT_SCALE
        mean = fixed_point.to_floats(total, scale=scale) / np.where(some, count, 1)
        return Values(np.where(some, mean, 0.0), some)
    extreme = state[Field(feature.column, "min" if feature.function == "min" else "max", feature.integer)]
    assert not isinstance(extreme, Fixed)
    return Values(np.where(some, extreme, np.zeros(1, dtype=extreme.dtype)), some)


def _ints(column: object) -> NDArray[np.int64]:
    assert isinstance(column, np.ndarray)
    return column
