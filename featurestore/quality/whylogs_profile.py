"""Adapter: a profile kept in whylogs' sketches and written in whylogs' own format.

Per column: counts, KLL quantile sketch (Karnin, Lang, Liberty 2016; k = 1024: ranks within some 0.3 %),
mean and M2 (Chan et al.), HyperLogLog (2^12 registers: distinct counts within some 2 %). Numeric columns go in as
NumPy views, 30 times faster than whylogs' own logging of a frame's rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np

from ...runtime.errors import FeatureNotFound, InputError, did_you_mean
from .profile import ColumnSummary, Floats, Span

# whylogs phones home when it is imported, unless told not to.
os.environ.setdefault("WHYLOGS_NO_ANALYTICS", "1")
os.environ.setdefault("DO_NOT_TRACK", "true")
if not hasattr(np, "unicode_"):
    # whylogs 1.6 still asks for the name that NumPy 2 took away.
    np.unicode_ = np.str_  # type: ignore[attr-defined, unused-ignore]

from whylogs.core.errors import DeserializationError, UnsupportedError
from whylogs.core.metrics import StandardMetric
from whylogs.core.metrics.metrics import MetricConfig
from whylogs.core.preprocessing import PreprocessedColumn
from whylogs.core.view.column_profile_view import ColumnProfileView
from whylogs.core.view.dataset_profile_view import DatasetProfileView, DecodeError

Column = Any  # whylogs ships no types
_METRICS = ("counts", "types", "distribution", "cardinality")
_META = "eagleray"
_MAGIC = b"WHY1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAMAGE = (ValueError, KeyError, TypeError, OSError, EOFError, IndexError, RuntimeError)


class WhylogsProfile:
    """A profile in bounded memory: at most some 30 kB a column, however many rows."""

    __slots__ = ("_columns", "_span")

    def __init__(self, *, span: Span | None = None) -> None:
        self._span = span
        self._columns: dict[str, Column] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they were first seen."""
        return tuple(self._columns)

    @property
    def rows(self) -> int:
        """Rows of the longest column."""
        return max((int(_counts(column).n.value) for column in self._columns.values()), default=0)

    @property
    def span(self) -> Span | None:
        """The time that the rows come from, when it is known."""
        return self._span

    @property
    def rank_error(self) -> float:
        """KLL's rank error at 99 % confidence; 0 while the sketches still hold every value."""
        sketches = [_sketch(column) for column in self._columns.values()]
        errors = [s.normalized_rank_error(False) for s in sketches if s.is_estimation_mode()]
        return float(max(errors, default=0.0))

    def update(self, columns: Mapping[str, Floats]) -> None:
        """Adds rows, given as float64 columns of one length; NaN is null."""
        if len({column.shape for column in columns.values()}) > 1:
            raise InputError("columns of one update differ in length: give one row to each")
        for name, column in columns.items():
            if name not in self._columns:
                self._columns[name] = _empty_column()
            prepared = _prepared(column)
            # A value near the largest float overflows the variance; the other figures still hold.
            with np.errstate(over="ignore", invalid="ignore"):
                for metric in self._columns[name].get_metrics():
                    metric.columnar_update(prepared)

    def summary(self, name: str) -> ColumnSummary:
        """The figures of one column."""
        column = self._column(name)
        counts, distribution, sketch = _counts(column), column.get_metric("distribution"), _sketch(column)
        some = not sketch.is_empty()
        nan = float("nan")
        return ColumnSummary(
            rows=int(counts.n.value),
            nulls=int(counts.null.value),
            infinite=int(counts.inf.value),
            minimum=float(sketch.get_min_value()) if some else nan,
            maximum=float(sketch.get_max_value()) if some else nan,
            mean=float(distribution.avg) if some else nan,
            stddev=float(distribution.stddev) if some else nan,
            distinct=float(column.get_metric("cardinality").hll.value.get_estimate()) if some else nan,
        )

    def quantiles(self, name: str, at: Floats) -> Floats:
        """The values at the ranks `at` (0-1); NaN when there is no finite value."""
        sketch = _sketch(self._column(name))
        # An empty sketch must not be asked: the library would end the process.
        if sketch.is_empty():
            return np.full(at.shape, np.nan)
        return np.asarray(sketch.get_quantiles(at.tolist()), np.float64)

    def cdf(self, name: str, points: Floats) -> Floats:
        """Share of the finite values that are <= each point; NaN when there is no finite value."""
        sketch = _sketch(self._column(name))
        if sketch.is_empty():
            return np.full(points.shape, np.nan)
        if points.size == 0:
            return np.empty(0)
        # The sketch gives the share below a point, and wants its points to rise: ask just above each.
        above, places = np.unique(np.nextafter(points, np.inf), return_inverse=True)
        finite = np.isfinite(above)
        shares = np.where(above > 0, 1.0, 0.0)
        shares[finite] = sketch.get_cdf(above[finite].tolist())[:-1] if finite.any() else []
        return shares[places].reshape(points.shape)

    def merge(self, other: Self) -> Self:
        """A new profile of both; neither is changed."""
        spans = [span for span in (self._span, other._span) if span is not None]
        merged = type(self)(span=spans[0].cover(spans[-1]) if spans else None)
        for name in dict.fromkeys((*self._columns, *other._columns)):
            # An empty column on the other side makes whylogs build new sketches, never share ours.
            ours, theirs = self._columns.get(name), other._columns.get(name)
            merged._columns[name] = (ours or _empty_column()).merge(theirs or _empty_column())
        return merged

    def to_bytes(self) -> bytes:
        """whylogs' binary profile (Protocol Buffers), readable by `DatasetProfileView.deserialize`."""
        span = None if self._span is None else [self._span.start_us, self._span.end_us]
        meta = json.dumps({"names": list(self._columns), "span": span})
        # whylogs wants two dates: the span's start for both, so that equal profiles give equal bytes.
        start = _EPOCH + timedelta(microseconds=self._span.start_us if self._span else 0)
        view = DatasetProfileView(
            columns=self._columns, dataset_timestamp=start, creation_timestamp=start, metadata={_META: meta}
        )
        return bytes(view.serialize())

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The profile that `to_bytes` wrote, or any whylogs profile with distributions; raises `InputError`."""
        if not content.startswith(_MAGIC):
            raise _no_profile(content)
        try:
            view = DatasetProfileView.deserialize(content)
            columns = view.get_columns()
            meta = json.loads(view.metadata.get(_META, "{}"))
            span = None if meta.get("span") is None else Span(*meta["span"])
            profile = cls(span=span)
            profile._columns = {name: columns[name] for name in meta.get("names", sorted(columns))}
            whole = all(_is_whole(column) for column in profile._columns.values())
        except (DecodeError, DeserializationError, UnsupportedError, *_DAMAGE) as error:
            raise _no_profile(content) from error
        if not whole:
            raise _no_profile(content)
        return profile

    def _column(self, name: str) -> Column:
        if name not in self._columns:
            raise FeatureNotFound(f"no column {name!r} in the profile{did_you_mean(name, self._columns)}")
        return self._columns[name]


def _empty_column() -> Column:
    config = MetricConfig()
    return ColumnProfileView({name: StandardMetric[name].zero(config) for name in _METRICS})


def _prepared(column: Floats) -> Any:
    """whylogs' view of a column, made without its per-value inspection of types."""
    finite = np.isfinite(column)
    nulls = int(np.isnan(column).sum())
    prepared = PreprocessedColumn()
    prepared.numpy.floats = np.ascontiguousarray(column[finite])
    prepared.len = column.size
    prepared.null_count = nulls
    prepared.nan_count = nulls
    prepared.inf_count = column.size - nulls - prepared.numpy.floats.size
    return prepared


def _counts(column: Column) -> Any:
    return column.get_metric("counts")


def _sketch(column: Column) -> Any:
    return column.get_metric("distribution").kll.value


def _is_whole(column: Column) -> bool:
    return all(column.get_metric(name) is not None for name in ("counts", "distribution", "cardinality"))


def _no_profile(content: bytes) -> InputError:
    return InputError(f"these {len(content)} bytes are no profile of numbers: give what Profile.to_bytes() wrote")
