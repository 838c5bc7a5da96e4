"""A profile that was kept as quantiles: what a model has with it of its training rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ...runtime.errors import FeatureNotFound, InputError, did_you_mean
from .profile import ColumnSummary, Floats, Span

MAGIC = b"eagleray quantiles 1\n"


class QuantileProfile:
    """Read only: rows cannot be added, nor profiles merged.

    `columns` has for each name its rows, nulls, infinite, mean, stddev and quantiles (values at even ranks, the minimum
    first and the maximum last; empty without a finite value).
    """

    __slots__ = ("_columns",)

    def __init__(self, columns: Mapping[str, Mapping[str, Any]]) -> None:
        self._columns = {name: dict(column) for name, column in columns.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns in their order."""
        return tuple(self._columns)

    @property
    def rows(self) -> int:
        """Rows of the longest column."""
        return max((int(column["rows"]) for column in self._columns.values()), default=0)

    @property
    def span(self) -> Span | None:
        """Not known."""
        return None

    @property
    def rank_error(self) -> float:
        """One step between two quantiles."""
        return max(
            (1 / (len(one["quantiles"]) - 1) for one in self._columns.values() if len(one["quantiles"]) > 1),
            default=0.0,
        )

    def update(self, columns: Mapping[str, Floats]) -> None:
        """Raises `InputError`."""
        raise InputError("a profile of quantiles takes no rows: make a new profile")

    def merge(self, other: Self) -> Self:
        """Raises `InputError`."""
        raise InputError("profiles of quantiles cannot be merged: make one profile of all rows")

    def summary(self, name: str) -> ColumnSummary:
        """The figures of one column; how many values are distinct is not known."""
        column, values = self._column(name), self._values(name)
        some, nan = values.size > 0, float("nan")
        return ColumnSummary(
            rows=int(column["rows"]),
            nulls=int(column["nulls"]),
            infinite=int(column["infinite"]),
            minimum=float(values[0]) if some else nan,
            maximum=float(values[-1]) if some else nan,
            mean=float(column["mean"]) if some else nan,
            stddev=float(column["stddev"]) if some else nan,
            distinct=nan,
        )

    def quantiles(self, name: str, at: Floats) -> Floats:
        """The values at the ranks `at` (0-1), of those kept; NaN when there is no finite value."""
        values = self._values(name)
        if values.size == 0:
            return np.full(at.shape, np.nan)
        found: Floats = values[np.ceil(np.clip(at, 0, 1) * (values.size - 1) - 1e-9).astype(np.intp)]
        return found

    def cdf(self, name: str, points: Floats) -> Floats:
        """Share of the finite values that are <= each point, between two quantiles by a straight line."""
        values = self._values(name)
        if values.size == 0:
            return np.full(points.shape, np.nan)
        if values.size == 1:
            return np.where(points >= values[0], 1.0, 0.0)
        ranks = np.linspace(0, 1, values.size)
        # Of equal values the last has the rank: all of them are <= it.
        last = np.append(values[1:] != values[:-1], True)
        steps, shares = values[last], ranks[last]
        # The line does not lead up to a heavy value: its rows are at the value itself.
        first = ranks[np.append(True, values[1:] != values[:-1])]
        place = np.searchsorted(steps, points, side="right") - 1
        low = np.clip(place, 0, len(steps) - 1)
        high = np.clip(place + 1, 0, len(steps) - 1)
        width = np.where(steps[high] > steps[low], steps[high] - steps[low], 1.0)
        part = np.clip((points - steps[low]) / width, 0.0, 1.0)
        between = shares[low] + part * np.maximum(first[high] - shares[low], 0.0)
        return np.where(place < 0, 0.0, np.where(place >= len(steps) - 1, 1.0, between))

    def to_bytes(self) -> bytes:
        """JSON after a line that tells what it is."""
        return MAGIC + json.dumps(self._columns).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The profile that `to_bytes` wrote; raises `InputError` for anything else."""
        try:
            found = json.loads(content.removeprefix(MAGIC))
            made = cls(found)
            for name in made.names:
                made.summary(name)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"these {len(content)} bytes are no profile: give what to_bytes() wrote") from error
        return made

    def _column(self, name: str) -> dict[str, Any]:
        if name not in self._columns:
            raise FeatureNotFound(f"no column {name!r} in the profile{did_you_mean(name, self._columns)}")
        return self._columns[name]

    def _values(self, name: str) -> Floats:
        return np.asarray(self._column(name)["quantiles"], dtype=np.float64)
