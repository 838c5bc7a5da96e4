"""Forecasts: the search is one for values, over a table made of series; the model carries how that table is made."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from ...runtime.errors import InputError
from ..forecasting.forecast_table import FILE, JUDGES, ROW, ForecastTable, Recipe, forecast_table, future
from ..forecasting.series import Columns
from ..models.model import Model
from .automl_options import AutoMLOptions


def as_regression(table: pl.DataFrame, columns: Columns, options: AutoMLOptions) -> tuple[ForecastTable, AutoMLOptions]:
    """What a search for values is given to learn forecasts; raises `InputError`.

    Every other column that is not in `options.ignore` is one that is known ahead (a price, a holiday).
    """
    if not columns.time:
        raise InputError("a forecast needs to know when: give time_column")
    if options.horizon is None:
        raise InputError("how far does it look ahead? options=AutoMLOptions(horizon=Horizon(14)) for 14 steps")
    if options.validation_column or options.validation_gap or options.test_fraction or options.folds:
        raise InputError("a forecast is judged by the last steps of each series: leave the options for rows out")
    aside = {columns.label, columns.time, columns.groups, *options.ignore}
    known = replace(columns, covariates=tuple(name for name in table.columns if name not in aside))
    made = forecast_table(table, known, options.horizon)
    chosen = replace(
        options,
        horizon=None,
        ignore=tuple(name for name in (ROW, columns.groups) if name),
        trusted=made.features,  # none of them is younger than the moment it is asked at
        validation_column=JUDGES,
        folds=0,
        attachments={**options.attachments, FILE: made.recipe.to_json()},
    )
    return made, chosen


def forecast(model: Model, history: pl.DataFrame, *, ahead: pl.DataFrame | None = None) -> pl.DataFrame:
    """The steps after the last value of each series in `history`: the columns of series and time, and the label.

    `ahead` holds future values of the columns that the model knows ahead, by series and time. Raises `InputError` for
    a model that does not forecast, or a history of other columns or steps than the one it was trained on.
    """
    if FILE not in model.attachments:
        raise InputError(f"model {model.name!r} does not forecast: train it with task='forecast'")
    recipe = Recipe.from_json(model.attachments[FILE])
    asked, features = future(recipe, history, ahead)
    above = model.predict(features.select(model.features).to_numpy())
    return asked.with_columns(pl.Series(recipe.columns.label, above + features["level"].to_numpy()))
