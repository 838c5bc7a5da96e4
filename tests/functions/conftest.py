"""What the tests of this floor share: one tracking home, for creating MLflow's database takes seconds."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest

from eagleray.functions.training.learner import Fold
from eagleray.runtime.settings import Settings


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with an MLflow database of the tests' own."""
    from eagleray.functions.runs.tracking import tracker

    settings = Settings(home=tmp_path_factory.mktemp("tracked"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow's own imports emit
        tracker(settings).warm_up()
    return settings


@pytest.fixture(scope="session")
def clicks() -> pl.DataFrame:
    """2,000 rows, some 30 % positive, that three of four features tell something about."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4))
    odds = 2 * x[:, 0] + x[:, 1] * x[:, 2] - 1.5
    x[::17, 1] = np.nan
    table = pl.DataFrame({name: x[:, i] for i, name in enumerate("abcd")}).fill_nan(None)
    return table.with_columns(
        clicked=pl.Series(rng.random(2000) < 1 / (1 + np.exp(-odds))),
        night=pl.Series(rng.random(2000) < 0.5),
        at=pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 2, 1), "1s", eager=True)[:2000],
        who=pl.Series([f"u{i % 50}" for i in range(2000)]),
    )


@pytest.fixture(scope="session")
def fold(clicks: pl.DataFrame) -> Fold:
    """The clicks as a fold: 1,600 rows teach, 400 judge."""
    x = clicks.select("a", "b", "c", "d").fill_null(np.nan).to_numpy().astype(np.float32)
    y = clicks["clicked"].cast(pl.Float32).to_numpy()
    return Fold(x=x, y=y, train_rows=1600, task="classification", metric="average_precision")
