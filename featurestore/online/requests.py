"""Requests as columns: what a caller hands in, checked against the types a vector declares."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...runtime.errors import InputError
from ..definitions.feature_vector import FeatureVector
from ..definitions.schema import conform
from ..state.columns import Column
from ..state.finalize import Values

Rows = Sequence[Mapping[str, object]] | Mapping[str, Sequence[object]]
# By exact type: a bool is an int to isinstance, and "1" is no number.
_ACCEPTED: dict[str, tuple[type, ...]] = {
    "int64": (int, type(None)),
    "int32": (int, type(None)),
    "float64": (float, int, type(None)),
    "float32": (float, int, type(None)),
    "bool": (bool, type(None)),
}


class Requests:
    """Some requests, given as rows or as columns; `owner` is named where one does not fit."""

    __slots__ = ("_columns", "_rows", "owner", "size")

    def __init__(self, given: Rows, *, owner: str) -> None:
        self.owner = owner
        self._rows: Sequence[Mapping[str, object]] = ()
        self._columns: Mapping[str, Sequence[object]] | None = None
        if isinstance(given, Mapping):
            sizes = {len(column) for column in given.values()}
            if len(sizes) > 1:
                raise InputError(f"{owner}: the columns of a request must be equally long, got {sorted(sizes)}")
            self._columns = given
            self.size = sizes.pop() if sizes else 0
        else:
            self._rows = given
            self.size = len(given)

    def column(self, name: str, dtype: str) -> list[object]:
        """One value a request; raises `InputError` where it is missing."""
        try:
            if self._columns is None:
                return [row[name] for row in self._rows]
            return list(self._columns[name])
        except KeyError:
            raise InputError(f"{self.owner}: the request lacks {name!r} ({dtype})") from None

    def typed(self, name: str, dtype: str) -> Values | pl.Series:
        """The column in its declared type; raises `InputError` for a value of another."""
        column = self.column(name, dtype)
        accepted = _ACCEPTED.get(dtype)
        if accepted is None:
            return conform([{name: value} for value in column], {name: dtype}, owner=self.owner)[name]
        for value in column:
            if type(value) not in accepted:
                raise InputError(f"{self.owner}: {name!r} must be {dtype}, got {value!r}")
        present = np.array([value is not None for value in column], dtype=bool)
        try:
            filled: NDArray[Any] = np.array([0 if value is None else value for value in column], dtype=dtype)
        except OverflowError:
            raise InputError(f"{self.owner}: {name!r} is beyond {dtype}") from None
        return Values(filled, present)

    def moments_us(self, column: str) -> NDArray[np.int64]:
        """The column as microseconds; raises `InputError` where it is no time."""
        owner = f"{self.owner}: {column}"
        given = self._columns.get(column, ()) if self._columns is not None else [row.get(column) for row in self._rows]
        if len(given) != self.size:
            given = [None] * self.size
        return np.array([moment_us(value, owner=owner) for value in given], dtype=np.int64)


class Asked:
    """Requests, checked: when each asks, and the columns that come with them."""

    __slots__ = ("columns", "moment_us", "requests")

    def __init__(self, vector: FeatureVector, rows: Rows) -> None:
        self.requests = Requests(rows, owner=vector.name)
        event_time = vector.event_time
        # One for all where none has its own.
        self.moment_us: NDArray[np.int64] | int = (
            time.time_ns() // 1000 if event_time is None else self.requests.moments_us(event_time)
        )
        self.columns: dict[str, Column] = {
            name: self.requests.typed(name, dtype) for name, dtype in vector.request.items()
        }

    def moments_us(self) -> NDArray[np.int64]:
        """When each request asks: its event time, or when it came."""
        moments = self.moment_us
        return np.full(self.requests.size, moments) if isinstance(moments, int) else moments


def moment_us(value: object, *, owner: str) -> int:
    """Microseconds from a datetime, ISO text or a whole number of microseconds; raises `InputError`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InputError(f"{owner} must be a time like 2026-01-31T12:00:00Z, got {value!r}") from None
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        # Whole microseconds by integer arithmetic: timestamp() is a float and would round.
        delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
        return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    raise InputError(f"{owner} must be a time (ISO text, datetime or microseconds), got {value!r}")
