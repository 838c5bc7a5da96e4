"""A profile that keeps every value: the exact answer, for tests and small data."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Self

import numpy as np

from ...runtime.errors import FeatureNotFound, InputError, did_you_mean
from .profile import ColumnSummary, Floats, Span

_META = "__meta__"


class ExactProfile:
    """Keeps all rows, so memory grows with them; the fake behind the `Profile` port."""

    __slots__ = ("_columns", "_sorted", "_span", "_summaries")

    def __init__(self, *, span: Span | None = None) -> None:
        self._span = span
        self._columns: dict[str, Floats] = {}
        # Worked out when first asked for, forgotten when rows are added.
        self._sorted: dict[str, Floats] = {}
        self._summaries: dict[str, ColumnSummary] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they were first seen."""
        return tuple(self._columns)

    @property
    def rows(self) -> int:
        """Rows of the longest column."""
        return max((column.size for column in self._columns.values()), default=0)

    @property
    def span(self) -> Span | None:
        """The time that the rows come from, when it is known."""
        return self._span

    @property
    def rank_error(self) -> float:
        """Always 0: every value is kept."""
        return 0.0

    def update(self, columns: Mapping[str, Floats]) -> None:
        """Adds rows, given as float64 columns of one length; NaN is null."""
        if len({column.shape for column in columns.values()}) > 1:
            raise InputError("columns of one update differ in length: give one row to each")
        for name, column in columns.items():
            old = self._columns.get(name, np.empty(0))
            self._columns[name] = np.concatenate([old, column])
            self._sorted.pop(name, None)
            self._summaries.pop(name, None)

    def summary(self, name: str) -> ColumnSummary:
        """The figures of one column."""
        if name not in self._summaries:
            self._summaries[name] = _summary(self._column(name), self._values(name))
        return self._summaries[name]

    def quantiles(self, name: str, at: Floats) -> Floats:
        """The values at the ranks `at` (0-1); NaN when there is no finite value."""
        values = self._values(name)
        if values.size == 0:
            return np.full(at.shape, np.nan)
        return values[np.maximum(np.ceil(at * values.size).astype(np.intp) - 1, 0)]

    def cdf(self, name: str, points: Floats) -> Floats:
        """Share of the finite values that are <= each point; NaN when there is no finite value."""
        values = self._values(name)
        if values.size == 0:
            return np.full(points.shape, np.nan)
        return np.searchsorted(values, points, side="right") / values.size

    def merge(self, other: Self) -> Self:
        """A new profile of both; neither is changed."""
        spans = [span for span in (self._span, other._span) if span is not None]
        merged = type(self)(span=spans[0].cover(spans[-1]) if spans else None)
        for source in (self, other):
            for name, column in source._columns.items():
                merged.update({name: column})
        return merged

    def to_bytes(self) -> bytes:
        """NumPy's npz with the names as JSON."""
        span = None if self._span is None else [self._span.start_us, self._span.end_us]
        meta = json.dumps({"names": list(self._columns), "span": span})
        arrays = {str(i): column for i, column in enumerate(self._columns.values())}
        out = io.BytesIO()
        np.savez(out, allow_pickle=False, **{_META: np.frombuffer(meta.encode(), np.uint8)}, **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The profile that `to_bytes` wrote; raises `InputError` for anything else."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                meta = json.loads(bytes(archive[_META]))
                profile = cls(span=None if meta["span"] is None else Span(*meta["span"]))
                profile._columns = {name: archive[str(i)] for i, name in enumerate(meta["names"])}
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"these {len(content)} bytes are no profile: give what to_bytes() wrote") from error
        return profile

    def _column(self, name: str) -> Floats:
        if name not in self._columns:
            raise FeatureNotFound(f"no column {name!r} in the profile{did_you_mean(name, self._columns)}")
        return self._columns[name]

    def _values(self, name: str) -> Floats:
        """The finite values in order."""
        if name not in self._sorted:
            column = self._column(name)
            self._sorted[name] = np.sort(column[np.isfinite(column)])
        return self._sorted[name]


def _summary(column: Floats, values: Floats) -> ColumnSummary:
    nulls = int(np.isnan(column).sum())
    some, nan = values.size > 0, float("nan")
    # A value near the largest float overflows the variance; the other figures still hold.
    with np.errstate(over="ignore", invalid="ignore"):
        stddev = float(values.std(ddof=1)) if values.size > 1 else (0.0 if some else nan)
    return ColumnSummary(
        rows=column.size,
        nulls=nulls,
        infinite=column.size - nulls - values.size,
        minimum=float(values[0]) if some else nan,
        maximum=float(values[-1]) if some else nan,
        mean=float(values.mean()) if some else nan,
        stddev=stddev,
        distinct=1.0 + np.count_nonzero(np.diff(values)) if some else nan,
    )
