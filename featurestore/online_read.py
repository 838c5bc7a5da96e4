"""Reading a vector online: any number of requests, any number of feature sets, one round trip."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..runtime.errors import DefinitionError, InputError
from .catalog import AppliedSet
from .entity import row_key
from .feature_vector import FeatureRef, FeatureVector
from .finalize import Values, finalize
from .online import OnlineStore
from .row_codec import unpack_row
from .schema import NUMERIC, conform, polars_type
from .states import States, decode
from .tiles import window_state

# By exact type: a bool is an int to isinstance, and "1" is no number.
_ACCEPTED: dict[str, tuple[type, ...]] = {
    "int64": (int, type(None)),
    "int32": (int, type(None)),
    "float64": (float, int, type(None)),
    "float32": (float, int, type(None)),
    "bool": (bool, type(None)),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The features of one set that a vector reads."""

    applied: AppliedSet
    refs: tuple[FeatureRef, ...]


def resolve(vector: FeatureVector, applied_of: Callable[[str], AppliedSet]) -> list[Wanted]:
    """The vector's features by set, `*` spelled out; raises `FeatureSetNotFound`, `FeatureNotFound`."""
    by_set: dict[str, list[FeatureRef]] = {}
    for ref in vector.refs():
        applied = applied_of(ref.set_name)
        if ref.feature == "*":
            by_set.setdefault(ref.set_name, []).extend(FeatureRef(ref.set_name, name) for name in applied.feature_types)
        else:
            applied.check_feature(ref.feature)
            by_set.setdefault(ref.set_name, []).append(ref)
    return [Wanted(applied_of(name), tuple(refs)) for name, refs in by_set.items()]


class VectorReader:
    """A vector compiled against the sets' active versions; safe to use from several threads."""

    def __init__(self, vector: FeatureVector, wanted: Sequence[Wanted], online: OnlineStore) -> None:
        self.vector = vector
        self._wanted = tuple(wanted)
        self._online = online
        read = {ref.column: item.applied.feature_types[ref.feature] for item in wanted for ref in item.refs}
        types = {**vector.request, **read} | dict.fromkeys(vector.on_demand_columns, "float64")
        self.names: tuple[str, ...] = tuple(types)
        self._text = next(((name, dtype) for name, dtype in types.items() if dtype not in NUMERIC), None)

    def read(self, rows: Sequence[Mapping[str, object]]) -> NDArray[np.float64]:
        """Requests to numbers, rows x `names`, null as NaN; raises `InputError`, `DefinitionError` for text."""
        if self._text is not None:
            name, dtype = self._text
            raise DefinitionError(f"{self.vector.name}: {name!r} is {dtype}; a model reads numbers, drop or encode it")
        asked, columns = self._columns(rows)
        if self.vector.on_demand_columns:
            completed = self._completed(asked, columns)
            columns |= {name: completed[name] for name in self.vector.on_demand_columns}
        matrix = np.empty((len(rows), len(self.names)), dtype=np.float64)
        for place, name in enumerate(self.names):
            column = columns[name]
            if not isinstance(column, Values):
                matrix[:, place] = _numbers(column)
            elif column.present.all():
                matrix[:, place] = column.values
            else:
                matrix[:, place] = np.where(column.present, column.values, np.nan)
        return matrix

    def frame(self, rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
        """Requests to a typed frame with the columns `names`, nulls and text exact."""
        return self._completed(*self._columns(rows)).select(self.names)

    def _completed(self, asked: list[int], columns: Mapping[str, Values | pl.Series]) -> pl.DataFrame:
        made = [series(column).alias(name) for name, column in columns.items()]
        if self.vector.event_time is not None:
            moments = np.array(asked, dtype="datetime64[us]")
            made.append(pl.Series(self.vector.event_time, moments).dt.replace_time_zone("UTC"))
        return self.vector.completed(pl.DataFrame(made))

    def _columns(self, rows: Sequence[Mapping[str, object]]) -> tuple[list[int], dict[str, Values | pl.Series]]:
        """When each request asks (its event time, or now), and the request's and the stored columns at that moment.

        An entity whose newest event is later is answered as of just after that event.
        """
        asked = [self.moment_us(row) for row in rows]
        columns: dict[str, Values | pl.Series] = {}
        if self.vector.request:
            columns |= request_values(rows, self.vector.request, owner=self.vector.name)
        packed = self._online.read(
            [
                item.applied.online_key(row_key(item.applied.entities, row, owner=self.vector.name))
                for item in self._wanted
                for row in rows
            ]
        )
        for place, item in enumerate(self._wanted):
            states = decode(packed[place * len(rows) : (place + 1) * len(rows)], item.applied.layout)
            found = set_values(item, states, np.maximum(asked, states.max_ts_us + 1))
            columns |= {ref.column: found[ref.column] for ref in item.refs}
        return asked, columns

    def moment_us(self, row: Mapping[str, object]) -> int:
        """When a request asks: its event time, or now."""
        column = self.vector.event_time
        if column is None:
            return time.time_ns() // 1000
        return moment_us(row.get(column), owner=f"{self.vector.name}: {column}")


def set_values(item: Wanted, states: States, q_us: NDArray[np.int64]) -> dict[str, Values | pl.Series]:
    """The wanted features of one set, a column each, one value a key."""
    layout = item.applied.layout
    names = {ref.feature: ref.column for ref in item.refs}
    made: dict[str, Values | pl.Series] = {}
    windowed = [feature for feature in layout.windowed if feature.name in names]
    merged = {
        (window, ring): window_state(states.rings[ring], layout.rings[ring], window, q_us)
        for window, ring in dict.fromkeys((feature.window, feature.ring) for feature in windowed)
    }
    for feature in windowed:
        made[names[feature.name]] = finalize(feature, merged[feature.window, feature.ring])
    plain = [name for name, _ in layout.plain]
    if any(name in names for name in plain):
        rows = _latest_rows(item.applied, states, q_us)
        for place, name in enumerate(plain):
            if name in names:
                column = [None if row is None else row[place] for row in rows]
                made[names[name]] = _column(column, item.applied.feature_types[name])
    return made


def request_values(
    rows: Sequence[Mapping[str, object]], types: Mapping[str, str], *, owner: str
) -> dict[str, Values | pl.Series]:
    """The request's columns; raises `InputError` naming a column that is missing or ill-typed."""
    made: dict[str, Values | pl.Series] = {}
    for name, dtype in types.items():
        try:
            column = [row[name] for row in rows]
        except KeyError:
            raise InputError(f"{owner}: the request lacks {name!r} ({dtype})") from None
        accepted = _ACCEPTED.get(dtype)
        if accepted is None:
            made[name] = conform([{name: value} for value in column], {name: dtype}, owner=owner)[name]
            continue
        for value in column:
            if type(value) not in accepted:
                raise InputError(f"{owner}: {name!r} must be {dtype}, got {value!r}")
        made[name] = _column(column, dtype)
    return made


def series(values: Values | pl.Series) -> pl.Series:
    """The values with nulls where there is none."""
    if isinstance(values, pl.Series):
        return values
    column = pl.Series(values.values)
    return (
        column
        if values.present.all()
        else column.zip_with(pl.Series(values.present), pl.Series([None], dtype=column.dtype))
    )


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


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    # Each operation on a Series is a query of its own, some 50 us: most columns need none.
    if column.dtype != pl.Float64:
        column = column.cast(pl.Float64)
    return (column.fill_null(np.nan) if column.null_count() else column).to_numpy()


def _column(values: Sequence[object], dtype: str) -> Values | pl.Series:
    if dtype not in NUMERIC:
        made = polars_type(dtype)
        return pl.Series(values, dtype=pl.Int64 if dtype == "timestamp" else made).cast(made)
    present = np.array([value is not None for value in values], dtype=bool)
    try:
        filled: NDArray[Any] = np.array([0 if value is None else value for value in values], dtype=dtype)
    except OverflowError:
        raise InputError(f"a whole number of the request is beyond {dtype}") from None
    return Values(filled, present)


def _latest_rows(applied: AppliedSet, states: States, q_us: NDArray[np.int64]) -> list[list[object] | None]:
    dtypes = [dtype for _, dtype in applied.layout.plain]
    rows: list[list[object] | None] = []
    for latest, moment in zip(states.latest, q_us.tolist(), strict=True):
        expired = latest is None or (applied.ttl_us is not None and moment - latest.ts_us > applied.ttl_us)
        rows.append(None if latest is None or expired else unpack_row(latest.row, dtypes))
    return rows
