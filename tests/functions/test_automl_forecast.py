"""Forecasts by one call: better than repeating the last week, saved and asked for again."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray import automl
from eagleray.functions.models.model import Model
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

BEGIN, DAYS, AHEAD = date(2024, 1, 1), 240, 14


def sales() -> pl.DataFrame:
    """Shops whose week repeats, of other heights, some of them rising, with a discount that is known ahead."""
    draw, parts = np.random.default_rng(2), []
    at = np.arange(DAYS)
    for shop in range(6):
        discount = draw.random(DAYS) < 0.2
        values = 40 + 20 * shop + 0.1 * (shop % 3) * at + 8 * np.sin(2 * np.pi * (at + shop) / 7) + 6 * discount
        days = [BEGIN + timedelta(days=int(day)) for day in at]
        frame = {
            "shop": [f"s{shop}"] * DAYS,
            "day": days,
            "discount": discount,
            "sold": values + draw.normal(0, 1, DAYS),
        }
        parts.append(pl.DataFrame(frame))
    return pl.concat(parts)


def rmse(guess: pl.Series, truth: pl.Series) -> float:
    return float(((guess - truth) ** 2).mean() ** 0.5)  # type: ignore[operator]


def test_it_beats_the_last_week_on_days_that_nobody_has_seen(ray_cluster: Settings, tmp_path: Path) -> None:
    table = sales()
    cut = BEGIN + timedelta(days=DAYS - AHEAD)
    history, later = table.filter(pl.col("day") < cut), table.filter(pl.col("day") >= cut)
    options = automl.AutoMLOptions(
        horizon=automl.Horizon(AHEAD), track=False, settings=ray_cluster, workers=1, progress=False
    )
    run = automl.fit(
        history, label="sold", task="forecast", time_column="day", groups="shop", budget_s=6, options=options
    )
    run.model.save(tmp_path / "m")
    told = automl.forecast(Model.load(tmp_path / "m"), history, ahead=later.drop("sold"))
    assert told.columns == ["shop", "day", "sold"]
    both = told.join(later, on=["shop", "day"], suffix="_truth", maintain_order="left")
    assert both.height == told.height == 6 * AHEAD
    week = history.filter(pl.col("day") >= cut - timedelta(days=7)).select(
        "shop", weekday=pl.col("day").dt.weekday(), naive="sold"
    )
    naive = both.with_columns(weekday=pl.col("day").dt.weekday()).join(week, on=["shop", "weekday"])
    ours = rmse(both["sold"], both["sold_truth"])
    assert ours < 0.75 * rmse(naive["naive"], naive["sold_truth"])
    # What the search was judged by is of the same kind as what came true.
    assert run.metrics["rmse"] == pytest.approx(ours, rel=0.5)
    assert run.metrics["rmse"] < 0.75 * float(run.about["seasonal_naive_rmse"])


def test_what_a_forecast_needs_is_told(settings: Settings) -> None:
    def fit(table: pl.DataFrame, time_column: str | None = "day", **given: object) -> None:
        options = automl.AutoMLOptions(track=False, settings=settings, **given)  # type: ignore[arg-type]
        automl.fit(table, label="sold", task="forecast", time_column=time_column, groups="shop", options=options)

    table, horizon = sales(), automl.Horizon(AHEAD)
    with pytest.raises(InputError, match="give time_column"):
        fit(table, None, horizon=horizon)
    with pytest.raises(InputError, match="how far does it look ahead"):
        fit(table)
    with pytest.raises(InputError, match=r"options.horizon is 14: give steps ahead as Horizon\(14\)"):
        fit(table, horizon=14)
    with pytest.raises(InputError, match="judged by the last steps"):
        fit(table, horizon=horizon, test_fraction=0.2)
    with pytest.raises(InputError, match="longest series has 20 steps"):
        fit(table.filter(pl.col("day") < BEGIN + timedelta(days=20)), horizon=horizon)
    with pytest.raises(InputError, match="say task='forecast'"):
        automl.fit(table, label="sold", options=automl.AutoMLOptions(horizon=horizon))
    model = Model("plain", "regression", "y", ("x",), ())
    with pytest.raises(InputError, match="'plain' does not forecast"):
        automl.forecast(model, table)
