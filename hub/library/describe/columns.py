"""A column's distribution, and its relation to a label part by part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ....functions.evaluation.charts import Line
from ....functions.evaluation.segments import as_texts

_BINS = 30
_MOST_VALUES = 10
_PARTS = 10
_PERIODS = 12
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Distribution:
    """Numbers: `counts` between neighbouring `edges`. Dates and times: `counts` of twelve periods, `values` their
    beginnings. Others: `counts` of the most frequent `values`, then "other"."""

    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relation:
    """The rows and the mean label of each part of a column: tenths of numbers (`middles`: their means), or values."""

    parts: tuple[str, ...]
    rows: tuple[int, ...]
    mean_label: tuple[float, ...]
    middles: tuple[float, ...] = ()


def distribution(column: pl.Series) -> Distribution:
    """What the column holds beside nulls; numbers with few distinct values count as values."""
    known = column.drop_nulls()
    if is_moment(known.dtype):
        starts, places = _periods(known)
        return Distribution(tuple(np.bincount(places, minlength=len(starts)).tolist()), values=starts)
    if known.dtype.is_numeric() and known.n_unique() > _MOST_VALUES:
        values = known.cast(pl.Float64).to_numpy()
        values = values[np.isfinite(values)]
        if len(values) and np.ptp(values) > 0:
            # Whole numbers within a short reach get a bar each: finer ones would leave gaps.
            low, high = values.min(), values.max()
            each = known.dtype.is_integer() and high - low < _BINS
            counts, edges = np.histogram(values, np.arange(low - 0.5, high + 1) if each else _BINS)
            return Distribution(tuple(counts.tolist()), edges=tuple(edges.tolist()))
    return _of_values(known)


def relation(column: pl.Series, label: pl.Series) -> Relation:
    """`label` is numbers as long as the column; rows where either is null are left out."""
    frame = pl.DataFrame({"x": column, "y": label}).drop_nulls()
    if column.dtype.is_numeric() and frame["x"].n_unique() > _MOST_VALUES:
        x = frame["x"].cast(pl.Float64).to_numpy()
        edges = np.unique(np.quantile(x, np.linspace(0, 1, _PARTS + 1)))
        place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(0, len(edges) - 2))
        found = frame.with_columns(p=pl.Series(place)).group_by("p").agg(
            pl.len().alias("n"), pl.col("y").mean(), pl.col("x").cast(pl.Float64).mean()
        ).sort("p")  # fmt: skip
        parts = tuple(f"{edges[p]:.4g} to {edges[p + 1]:.4g}" for p in found["p"].to_list())
        return Relation(parts, tuple(found["n"]), tuple(found["y"]), tuple(found["x"]))
    if is_moment(column.dtype):
        starts, places = _periods(frame["x"])
        found = frame.with_columns(p=pl.Series(places)).group_by("p").agg(pl.len().alias("n"), pl.col("y").mean())
        found = found.sort("p")
        return Relation(tuple(starts[p] for p in found["p"].to_list()), tuple(found["n"]), tuple(found["y"]))
    texts = as_texts(frame["x"])
    found = frame.with_columns(p=texts).group_by("p").agg(pl.len().alias("n"), pl.col("y").mean())
    found = found.sort("n", "p", descending=[True, False]).head(_MOST_VALUES)
    if column.dtype.is_numeric():
        found = found.sort(pl.col("p").cast(pl.Float64))
    return Relation(tuple(found["p"]), tuple(found["n"]), tuple(found["y"]))


def lines_of(one: Relation) -> list[Line]:
    """The mean label along the column."""
    return [Line("mean", one.middles, one.mean_label, marked=True)]


def is_moment(dtype: pl.DataType) -> bool:
    """Whether values of that type are dates or times of day and date."""
    return dtype in (pl.Date, pl.Datetime)


def _periods(moments: pl.Series) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Twelve periods of equal length: where each begins, and the one each moment is in."""
    us = moments.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy()
    if not len(us):
        return (), us
    low, reach = int(us.min()), int(np.ptp(us)) + 1
    places = ((us - low) * (_PERIODS / reach)).astype(np.int64).clip(0, _PERIODS - 1)
    starts = pl.Series([low + reach * i // _PERIODS for i in range(_PERIODS)]).cast(pl.Datetime("us"))
    return tuple(starts.dt.strftime("%Y-%m-%d %H:%M" if reach < _PERIODS * _DAY_US else "%Y-%m-%d")), places


def _of_values(known: pl.Series) -> Distribution:
    counted = as_texts(known).rename("value").value_counts(sort=True)
    counted = counted.sort("count", "value", descending=[True, False])
    first = counted.head(_MOST_VALUES)
    values, counts = first["value"].to_list(), first["count"].to_list()
    rest = len(known) - sum(counts)
    if rest:
        values.append("other")
        counts.append(rest)
    if known.dtype.is_numeric() and not rest:  # few numbers: in their own order
        pairs = sorted(zip(values, counts, strict=True), key=lambda pair: float(pair[0]))
        values, counts = [a for a, _ in pairs], [b for _, b in pairs]
    return Distribution(tuple(counts), values=tuple(values))
