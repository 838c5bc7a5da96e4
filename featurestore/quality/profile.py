"""Port: a profile summarises columns of numbers in bounded memory, and merges with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...runtime.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, start included, end not; microseconds since the epoch, UTC."""

    start_us: int
    end_us: int

    def cover(self, other: Span) -> Span:
        """The shortest span that holds both."""
        return Span(min(self.start_us, other.start_us), max(self.end_us, other.end_us))


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """One column in figures. `rows` counts all; nulls (NaN) and infinite values are in no other figure.

    `stddev` is the sample's (divided by n - 1; 0 for one value). Without a finite value the figures are NaN.
    """

    rows: int
    nulls: int
    infinite: int
    minimum: float
    maximum: float
    mean: float
    stddev: float
    distinct: float

    @property
    def values(self) -> int:
        """How many finite values there are."""
        return self.rows - self.nulls - self.infinite

    @property
    def missing_share(self) -> float:
        """Share of rows without a finite value, 0-1; 0 when there are no rows."""
        return (self.nulls + self.infinite) / self.rows if self.rows else 0.0


class Profile(Protocol):
    """What every profile can do; an unknown column name raises `FeatureNotFound`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they were first seen."""
        ...

    @property
    def rows(self) -> int:
        """Rows of the longest column."""
        ...

    @property
    def span(self) -> Span | None:
        """The time that the rows come from, when it is known."""
        ...

    @property
    def rank_error(self) -> float:
        """How far a `cdf` may be off, 0-1; 0 when it is exact."""
        ...

    def update(self, columns: Mapping[str, Floats]) -> None:
        """Adds rows, given as float64 columns of one length; NaN is null."""
        ...

    def summary(self, name: str) -> ColumnSummary:
        """The figures of one column."""
        ...

    def quantiles(self, name: str, at: Floats) -> Floats:
        """The values at the ranks `at` (0-1); NaN when there is no finite value."""
        ...

    def cdf(self, name: str, points: Floats) -> Floats:
        """Share of the finite values that are <= each point; NaN when there is no finite value."""
        ...

    def merge(self, other: Self) -> Self:
        """A new profile of both; neither is changed."""
        ...

    def to_bytes(self) -> bytes:
        """The profile in a portable format (never pickle)."""
        ...


def histogram(profile: Profile, name: str, edges: Floats) -> Floats:
    """Counts of finite values in the bins (-inf, e0], (e0, e1], ..., (e_last, inf); edges must rise.

    One more count than edges; they sum to the number of finite values (and are estimates where the
    profile's `cdf` is one).
    """
    if edges.size and not bool(np.all(np.diff(edges) > 0)):
        raise InputError(f"the bin edges of {name!r} do not rise: sort them and drop duplicates")
    values = profile.summary(name).values
    if values == 0:
        return np.zeros(edges.size + 1)
    shares = np.diff(np.concatenate([[0.0], profile.cdf(name, edges), [1.0]]))
    return np.maximum(shares, 0.0) * values


def numeric_columns(frame: pl.DataFrame, names: Sequence[str] | None = None) -> dict[str, Floats]:
    """The numeric and Boolean columns of a frame as float64, null as NaN; or exactly those named.

    Raises `InputError` for a named column that is missing or holds no numbers.
    """
    chosen = [name for name, dtype in frame.schema.items() if _is_number(dtype)] if names is None else list(names)
    columns: dict[str, Floats] = {}
    for name in chosen:
        if name not in frame.columns:
            raise InputError(f"no column {name!r} to profile; the frame has {', '.join(frame.columns)}")
        if not _is_number(frame.schema[name]):
            raise InputError(f"cannot profile {name!r}: it holds {frame.schema[name]}; give numeric columns")
        series = frame.get_column(name).cast(pl.Float64)
        columns[name] = series.fill_null(float("nan")).to_numpy().astype(np.float64, copy=False)
    return columns


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Boolean
