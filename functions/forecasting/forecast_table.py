"""From a table of series to one that a search learns from, and from a history to its future."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import InputError
from . import lags
from .grid import Grid
from .horizon import Horizon
from .series import Columns, Series, series_of, sorted_rows

FILE = "forecast.json"  # travels with the model
JUDGES, ROW = "_judges", "_row"
_MOST_ROWS = 1_000_000
_MANY_HORIZONS = 6  # of history, from where on several moments judge
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a series becomes features: what a model of forecasts must know beside its trees."""

    columns: Columns
    grid: Grid
    steps: int
    seasons: tuple[int, ...]

    def to_json(self) -> bytes:
        """As a file."""
        told = {"columns": asdict(self.columns), "grid": self.grid.to_dict(), "steps": self.steps}
        return json.dumps(told | {"seasons": self.seasons}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Reads it back."""
        told = json.loads(data)
        columns = told["columns"] | {"covariates": tuple(told["columns"]["covariates"])}
        return cls(Columns(**columns), Grid(**told["grid"]), told["steps"], tuple(told["seasons"]))

    def frame(self, one: Series, moments: Ints, steps: Ints, *, ahead: Floats, like: pl.Series) -> pl.DataFrame:
        """The features at moments, so many steps ahead; `ahead` are the covariates there, rows x columns."""
        made, _ = lags.known(one.values, moments, steps, self.seasons)
        times = self.grid.times(one.first + moments + steps, like)
        calendar = [column.cast(pl.Float64) for column in self.grid.calendar(times)]
        known = pl.DataFrame(made, schema=list(lags.names(self.seasons)))
        beside = pl.DataFrame(ahead, schema=list(self.columns.covariates)) if self.columns.covariates else None
        return known.with_columns(calendar).with_columns(() if beside is None else beside.get_columns())


@dataclass(frozen=True, slots=True)
class ForecastTable:
    """What a search learns from: `features`, the label (how far above its level a value will be), `JUDGES`, and beside
    them the series and a number a `ROW`, which are no features.

    `naive_rmse` is what repeating the last season would have come to on the rows that judge.
    """

    table: pl.DataFrame
    features: tuple[str, ...]
    recipe: Recipe
    naive_rmse: float

    @property
    def about(self) -> dict[str, str | float]:
        """What a run tells of it."""
        return {"steps": self.recipe.steps, "seasonal_naive_rmse": self.naive_rmse}


def forecast_table(table: pl.DataFrame, columns: Columns, horizon: Horizon) -> ForecastTable:
    """The last `horizon.steps` of each series judge, as they looked at the moment before them (at several moments where
    the series are long); what ended before teaches.

    Raises `InputError` for series that are too short, irregular or told twice.
    """
    rows = sorted_rows(table, columns)
    if not rows.height:
        raise InputError("the table is empty: there is nothing to learn from")
    values = rows[columns.label].cast(pl.Float64)
    if endless := int(values.is_infinite().sum()):
        raise InputError(f"label {columns.label!r} is infinite in {endless} rows: make it null there")
    if not values.is_finite().any():
        raise InputError(f"label {columns.label!r} has no value in any row: there is nothing to learn from")
    which = rows[columns.groups] if columns.groups else pl.Series([0]).new_from_index(0, rows.height)
    grid = Grid.of(rows[columns.time], which, every=horizon.every)
    series = series_of(rows, columns, grid)
    longest = max(len(one.values) for one in series)
    taken = {JUDGES, ROW, *lags.names(horizon.seasons or grid.seasons), "month", "day", "weekday", "hour"}
    if clash := taken & {columns.label, str(columns.groups), *columns.covariates}:
        raise InputError(f"a forecast makes a feature {min(clash)!r} of its own: rename that column")
    seasons = grid.seasons if horizon.seasons is None else horizon.seasons
    recipe = Recipe(columns, grid, horizon.steps, tuple(s for s in seasons if 2 * s + horizon.steps <= longest))
    needed = 2 * horizon.steps + 2
    if longest < needed:
        raise InputError(
            f"the longest series has {longest} steps: to learn and to judge {horizon.steps} ahead takes at least "
            f"{needed}; give a longer history or a shorter horizon"
        )
    total = sum(max(0, len(one.values) - horizon.steps) * horizon.steps for one in series)
    stride = max(1, -(-total // _MOST_ROWS))
    parts, naive = [], []
    for one in series:
        if len(one.values) >= needed:
            made, errors = _rows(one, recipe, stride=stride, like=rows[columns.time])
            if columns.groups:
                made = made.with_columns(pl.lit(one.key, dtype=rows[columns.groups].dtype).alias(columns.groups))
            parts.append(made)
            naive.append(errors)
    whole = pl.concat(parts).with_row_index(ROW)  # so that no row is a copy of another, as steady as a series may be
    aside = {ROW, JUDGES, columns.label, columns.groups}
    features = tuple(name for name in whole.columns if name not in aside)
    return ForecastTable(whole, features, recipe, float(np.sqrt(np.nanmean(np.concatenate(naive) ** 2))))


def _rows(one: Series, recipe: Recipe, *, stride: int, like: pl.Series) -> tuple[pl.DataFrame, Floats]:
    count, h = len(one.values), recipe.steps
    back = h if count >= _MANY_HORIZONS * h else 0
    judging = np.unique(np.array([count - 1 - h - back * turn // 2 for turn in range(3 if back else 1)]))
    until = int(judging[0])  # what teaches is known by then
    teaching = np.arange(until - 1, -1, -stride)
    moments, steps = _pairs(np.concatenate((teaching, judging)), h)
    judges = moments >= until
    kept = judges | (moments + steps <= until)
    kept &= np.isfinite(one.values[np.minimum(moments + steps, count - 1)])
    moments, steps, judges = moments[kept], steps[kept], judges[kept]
    frame = recipe.frame(one, moments, steps, ahead=one.covariates[moments + steps], like=like)
    level = frame["level"].to_numpy()
    truth = one.values[moments + steps] - level
    usable = np.isfinite(truth)
    guess = frame[f"season_{recipe.seasons[0]}"] if recipe.seasons else frame["last"]
    errors = (guess.to_numpy() - truth)[judges & usable]
    made = frame.with_columns(pl.Series(recipe.columns.label, truth), pl.Series(JUDGES, judges))
    return made.filter(pl.Series(usable)), errors


def _pairs(moments: Ints, steps: int) -> tuple[Ints, Ints]:
    return np.repeat(moments, steps), np.tile(np.arange(1, steps + 1), len(moments))


def future(recipe: Recipe, history: pl.DataFrame, ahead: pl.DataFrame | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows to be forecast (series and time), and their features; `ahead` holds the covariates of that time.

    Raises `InputError` for a history that does not fit, or where covariates lack.
    """
    columns = recipe.columns
    rows = sorted_rows(history, columns)
    if not rows.height:
        raise InputError("the history is empty: a forecast begins where a series ends")
    if columns.covariates and ahead is None:
        raise InputError(f"the model reads {', '.join(columns.covariates)}: give their future values, ahead=frame")
    asked, features = [], []
    for one in series_of(rows, columns, recipe.grid):
        moments, steps = _pairs(np.array([len(one.values) - 1]), recipe.steps)
        times = recipe.grid.times(one.first + moments + steps, rows[columns.time])
        keys = pl.DataFrame([times])
        if columns.groups:
            keys = keys.select(pl.lit(one.key, dtype=rows[columns.groups].dtype).alias(columns.groups), columns.time)
        beside = _ahead(keys, ahead, columns) if ahead is not None else np.zeros((len(steps), 0))
        asked.append(keys)
        features.append(recipe.frame(one, moments, steps, ahead=beside, like=rows[columns.time]))
    if not asked:
        raise InputError(f"column {columns.label!r} is null in every row: a forecast begins where a series ends")
    return pl.concat(asked), pl.concat(features)


def _ahead(keys: pl.DataFrame, ahead: pl.DataFrame, columns: Columns) -> Floats:
    rows = sorted_rows(ahead, columns, with_label=False)
    found = keys.join(rows, on=columns.keys, how="left", maintain_order="left")
    names: Sequence[str] = columns.covariates
    made: Floats = found.select(pl.col(list(names)).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    return made.reshape(keys.height, len(names))
