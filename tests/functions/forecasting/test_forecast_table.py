"""Tables that forecasts are learned from, and what is asked of a future."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from eagleray.functions.forecasting.forecast_table import JUDGES, Recipe, forecast_table, future
from eagleray.functions.forecasting.horizon import Horizon
from eagleray.functions.forecasting.series import Columns
from eagleray.runtime.errors import DefinitionError, InputError

BEGIN = date(2025, 1, 1)
SALES = Columns("sales", "day", "shop")


def weekly(shops: dict[str, int], *, noise: float = 0.0) -> pl.DataFrame:
    """Series of so many days that repeat weekly and rise."""
    draw = np.random.default_rng(1)
    parts = []
    for place, (shop, days) in enumerate(shops.items()):
        at = np.arange(days)
        values = 100.0 * place + 0.5 * at + 10.0 * (at % 7) + draw.normal(0, 1, days) * noise
        dates = [BEGIN + timedelta(days=int(day)) for day in at]
        parts.append(pl.DataFrame({"shop": [shop] * days, "day": dates, "sales": values}))
    return pl.concat(parts)


def test_the_last_steps_judge_and_what_had_ended_before_them_teaches() -> None:
    made = forecast_table(weekly({"a": 30}), SALES, Horizon(7))
    judges = made.table.filter(pl.col(JUDGES))
    assert judges["step"].to_list() == [1, 2, 3, 4, 5, 6, 7]
    teaches = made.table.filter(~pl.col(JUDGES))
    # The moment that judges is place 22; a pair of a moment and a step teaches up to there.
    assert teaches.height == sum(1 for moment in range(22) for step in range(1, 8) if moment + step <= 22)
    values = weekly({"a": 30})["sales"].to_numpy()
    assert judges["sales"].to_numpy() == pytest.approx(values[23:] - values[16:23].mean())
    assert made.naive_rmse == pytest.approx(3.5)  # a week's rise


def test_days_whose_value_is_still_to_come_neither_teach_nor_judge() -> None:
    history = weekly({"a": 30})
    late = [BEGIN + timedelta(days=day) for day in range(30, 45)]
    awaited = (
        history.head(1)
        .select("shop", sales=pl.lit(None, dtype=pl.Float64))
        .join(pl.DataFrame({"day": late}), how="cross")
    )
    both = pl.concat([history, awaited.select(history.columns)])
    assert forecast_table(both, SALES, Horizon(7)).table.equals(forecast_table(history, SALES, Horizon(7)).table)


def test_long_series_judge_at_three_moments() -> None:
    made = forecast_table(weekly({"a": 100}), SALES, Horizon(10))
    judges = made.table.filter(pl.col(JUDGES))
    assert judges["step"].to_list() == list(range(1, 11)) * 3
    assert made.table.filter(~pl.col(JUDGES)).height > 0


def test_a_future_begins_where_each_series_ends() -> None:
    history = weekly({"a": 30, "b": 25, "short": 3})
    made = forecast_table(history, SALES, Horizon(3))
    recipe = Recipe.from_json(made.recipe.to_json())
    assert recipe == made.recipe
    keys, features = future(recipe, history, None)
    ends = {"a": 30, "b": 25, "short": 3}
    wanted = [(shop, BEGIN + timedelta(days=end + step)) for shop, end in ends.items() for step in range(3)]
    assert keys.rows() == wanted
    assert tuple(features.columns) == made.features
    late = pl.concat([history, history.tail(1).with_columns(pl.col("day") + timedelta(days=1), sales=None)])
    assert future(recipe, late, None)[0].rows() == wanted  # a day without a value is still to come


def test_what_is_known_ahead_must_be_given() -> None:
    history = weekly({"a": 30}).with_columns(price=pl.lit(2.0))
    columns = Columns("sales", "day", "shop", ("price",))
    made = forecast_table(history, columns, Horizon(2))
    with pytest.raises(InputError, match="reads price: give their future values"):
        future(made.recipe, history, None)
    days = [BEGIN + timedelta(days=30), BEGIN + timedelta(days=31)]
    ahead = pl.DataFrame({"shop": ["a", "a"], "day": days, "price": [3.0, 4.0]})
    assert future(made.recipe, history, ahead)[1]["price"].to_list() == [3.0, 4.0]


def test_no_groups_is_one_series_and_gaps_are_missing_values() -> None:
    history = weekly({"a": 40}).drop("shop")
    holed = history.filter(~pl.col("day").is_in([BEGIN + timedelta(days=5), BEGIN + timedelta(days=20)]))
    made = forecast_table(holed, Columns("sales", "day"), Horizon(5))
    assert made.table["sales"].null_count() == 0
    whole = forecast_table(history, Columns("sales", "day"), Horizon(5))
    assert 0 < made.table.height < whole.table.height


def test_what_cannot_be_forecast_is_told() -> None:
    good = weekly({"a": 30})
    with pytest.raises(InputError, match=r"longest series has 30 steps: .* at least 42"):
        forecast_table(good, SALES, Horizon(20))
    with pytest.raises(InputError, match=r"60 rows share their time .*name the series: groups="):
        forecast_table(weekly({"a": 30, "b": 30}), Columns("sales", "day"), Horizon(2))
    with pytest.raises(InputError, match=r"2 rows share their time .*: aggregate them$"):
        forecast_table(pl.concat([good, good.head(1)]), SALES, Horizon(2))
    with pytest.raises(InputError, match="'day' is null in 1 rows"):
        forecast_table(pl.concat([good, good.head(1).with_columns(day=None)]), SALES, Horizon(2))
    with pytest.raises(InputError, match="no column 'shp' for groups; did you mean 'shop'"):
        forecast_table(good, Columns("sales", "day", "shp"), Horizon(2))
    with pytest.raises(InputError, match="'sales' is String"):
        forecast_table(good.with_columns(pl.col("sales").cast(pl.String)), SALES, Horizon(2))
    with pytest.raises(InputError, match="the table is empty"):
        forecast_table(good.clear(), SALES, Horizon(2))
    for nothing in (None, float("nan")):
        with pytest.raises(InputError, match="label 'sales' has no value in any row"):
            forecast_table(good.with_columns(sales=pl.lit(nothing, pl.Float64)), SALES, Horizon(2))
    with pytest.raises(InputError, match="a feature 'level' of its own: rename"):
        forecast_table(good.rename({"sales": "level"}), Columns("level", "day", "shop"), Horizon(2))
    with pytest.raises(DefinitionError, match="at least 1 step"):
        Horizon(0)
