"""Series as they are read from a table: one value a step, what is missing as NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import InputError, did_you_mean
from .grid import Grid

Floats = npt.NDArray[np.float64]
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table of series: the value, its time, which series it is of, and what is known ahead."""

    label: str
    time: str
    groups: str | None = None
    covariates: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """What names a row."""
        return [self.time] if self.groups is None else [self.groups, self.time]


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its `values` from the place `first` of the grid on; `covariates` are steps x columns."""

    key: object
    first: int
    values: Floats
    covariates: Floats


def sorted_rows(table: pl.DataFrame, columns: Columns, *, with_label: bool = True) -> pl.DataFrame:
    """The rows by series and time; raises `InputError` for what a table of series cannot have."""
    needed = [*columns.keys, *columns.covariates, *([columns.label] if with_label else [])]
    what = {columns.label: "the label", columns.time: "time_column", columns.groups: "groups"}
    for name in needed:
        if name not in table.columns:
            role = f" for {what[name]}" if name in what else ""
            raise InputError(f"no column {name!r}{role}{did_you_mean(name, table.columns)}")
    for name in columns.keys:
        if table[name].null_count():
            raise InputError(f"column {name!r} is null in {table[name].null_count()} rows: drop them first")
    for name in needed[len(columns.keys) :]:
        if not (table[name].dtype.is_numeric() or table[name].dtype == pl.Boolean):
            raise InputError(f"column {name!r} is {table[name].dtype}: a forecast reads numbers; encode or ignore it")
    rows = table.select(needed).sort(columns.keys)
    twice = rows.filter(rows.select(columns.keys).is_duplicated())
    if twice.height:
        shown = ", ".join(str(row) for row in twice.select(columns.keys).unique(maintain_order=True).rows()[:_SHOWN])
        cure = "aggregate them" if columns.groups else "aggregate them, or name the series: groups='...'"
        raise InputError(f"{twice.height} rows share their time ({shown}): {cure}")
    return rows


def series_of(rows: pl.DataFrame, columns: Columns, grid: Grid) -> list[Series]:
    """The series of sorted rows that have a value; each ends with its last one."""
    places = grid.places(rows[columns.time])
    values = rows[columns.label].cast(pl.Float64).fill_null(np.nan).to_numpy()
    extra = rows.select(pl.col(list(columns.covariates)).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    extra = extra.reshape(rows.height, len(columns.covariates))
    made = []
    for key, begin, end in _runs(rows, columns):
        told = np.flatnonzero(np.isfinite(values[begin:end]))
        if not len(told):
            continue
        end = begin + int(told[-1]) + 1
        first, here = int(places[begin]), places[begin:end] - places[begin]
        whole = np.full(int(here[-1]) + 1, np.nan)
        whole[here] = values[begin:end]
        beside = np.full((len(whole), extra.shape[1]), np.nan)
        beside[here] = extra[begin:end]
        made.append(Series(key, first, whole, beside))
    return made


def _runs(rows: pl.DataFrame, columns: Columns) -> Sequence[tuple[object, int, int]]:
    if columns.groups is None:
        return [(None, 0, rows.height)] if rows.height else []
    found = rows.group_by(columns.groups, maintain_order=True).len()
    ends = found["len"].cum_sum().to_list()
    return list(zip(found[columns.groups].to_list(), [0, *ends[:-1]], ends, strict=True))
