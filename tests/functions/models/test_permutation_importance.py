"""Permutation importance: against scikit-learn's and by hand; what is not needed has none; its time is bounded."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.inspection import permutation_importance as oracle
from sklearn.metrics import average_precision_score, log_loss

from eagleray.functions.automl import permutation_importance
from eagleray.functions.evaluation.metric import Task
from eagleray.functions.forecasting.forecast_table import FILE
from eagleray.functions.models.model import Member, Model
from eagleray.functions.training.learner import Fold, learner
from eagleray.runtime.errors import InputError

NAMES = ("strong", "weak", "unread")
ROWS = 2000


class Sums:
    """A booster of one's own: a weighted sum, `seconds` a thousand rows slow."""

    data = b""

    def __init__(self, weights: tuple[float, ...], *, seconds: float = 0.0) -> None:
        self.weights, self.seconds, self.asked = weights, seconds, 0

    def margins(self, rows: np.ndarray) -> np.ndarray:
        self.asked += len(rows)
        until = time.monotonic() + self.seconds * len(rows) / 1000
        while time.monotonic() < until:
            pass
        found: np.ndarray = np.nan_to_num(rows) @ np.array(self.weights)
        return found

    def contributions(self, rows: np.ndarray) -> np.ndarray:
        raise InputError("none")


def model(booster: Any, *, task: Task = "classification", **more: Any) -> Model:
    return Model("m", task, "y", NAMES, (Member("own", booster, 1.0, "npz"),), **more)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3))
    odds = 2 * x[:, 0] + 0.5 * x[:, 1]
    made = pl.DataFrame(x, schema=NAMES)
    return made.with_columns(
        y=pl.Series(rng.random(ROWS) < 1 / (1 + np.exp(-odds))), query=pl.Series(np.arange(ROWS) // 10)
    )


def test_a_linear_model_by_hand(table: pl.DataFrame) -> None:
    """A shuffled feature of weight w adds a variance of 2 w^2 to errors that were nothing."""
    exact = table.with_columns(y=2 * pl.col("strong") + 0.5 * pl.col("weak"))
    found = permutation_importance(model(Sums((2.0, 0.5, 0.0)), task="regression"), exact, repeats=20)
    assert found["feature"].to_list() == list(NAMES)
    assert found["importance"].to_list()[:2] == pytest.approx([8**0.5, 0.5**0.5], rel=0.05)
    assert found.row(2) == ("unread", 0.0, 0.0, 20)


@pytest.mark.parametrize(
    ("metric", "measure", "sign"), [("average_precision", average_precision_score, 1), ("log_loss", log_loss, -1)]
)
def test_a_booster_agrees_with_scikit_learn(table: pl.DataFrame, metric: str, measure: Any, sign: int) -> None:
    x, y = table.select(NAMES).to_numpy().astype(np.float32), table["y"].to_numpy().astype(np.float32)
    made = learner("lightgbm")
    config = made.starts(1000)[0]
    booster = made.booster(
        made.trainer(Fold(x[:1000], y[:1000], 1000, "classification", "")).refit(config, rounds=30, seed=0)
    )
    one = model(booster)

    class Fitted:
        def fit(self) -> None: ...

    def score(_: Any, rows: Any, labels: Any) -> float:
        return sign * float(measure(labels, one.predict(np.ascontiguousarray(rows))))

    expected = oracle(Fitted(), x[1000:], y[1000:], scoring=score, n_repeats=30, random_state=1)
    found = permutation_importance(one, table[1000:], metric=metric, repeats=30)
    at = [NAMES.index(name) for name in found["feature"]]
    error = np.maximum(expected.importances_std[at], found["spread"].to_numpy()) * (2 / 30) ** 0.5
    assert (np.abs(found["importance"].to_numpy() - expected.importances_mean[at]) < 4 * error).all()
    assert found["feature"][0] == "strong"
    assert found["spread"].to_numpy() == pytest.approx(expected.importances_std[at], rel=0.6)


def test_a_ranking_is_judged_query_by_query(table: pl.DataFrame) -> None:
    """What is one value a query orders nothing, however much of the score it is."""
    by_query = table.with_columns(
        pl.col("weak").first().over("query"), y=pl.col("strong").rank("ordinal").over("query") > 7
    )
    found = permutation_importance(
        model(Sums((1.0, 0.0, 0.0)), task="ranking"), by_query, metric="ndcg_3", groups="query", repeats=3
    )
    assert found.row(0)[:2] == ("strong", pytest.approx(0.7, abs=0.15))
    assert found["importance"].to_list()[1:] == [0.0, 0.0]
    again = permutation_importance(
        model(Sums((1.0, 0.0, 0.0)), task="ranking"), by_query, metric="ndcg_3", groups="query", repeats=3
    )
    assert again.equals(found)


def test_its_time_is_bounded_by_fewer_repeats_and_rows(table: pl.DataFrame) -> None:
    slow = Sums((2.0, 0.5, 0.0), seconds=0.02)
    found = permutation_importance(model(slow), pl.concat([table] * 10), repeats=10_000, limit_s=1.0)
    assert 1 <= found["repeats"][0] < 10_000
    assert found["feature"][0] == "strong"
    first = 20_000 + 1  # all rows once, to see how long that takes
    assert (slow.asked - first) / (3 * found["repeats"][0] + 1) < 20_000
    whole = Sums((2.0, 0.5, 0.0))
    permutation_importance(model(whole), table, repeats=2)
    assert whole.asked == 1 + ROWS * (1 + 2 * 3), "where time allows, all rows, once a feature and repeat"


def test_one_repeat_has_no_spread_and_nulls_are_rows_too(table: pl.DataFrame) -> None:
    some = table.with_columns(strong=pl.when(pl.col("weak") > 0).then("strong"))
    found = permutation_importance(model(Sums((2.0, 0.5, 0.0))), some, repeats=1)
    assert found["spread"].to_list() == [None] * 3
    assert found["importance"][0] > 0.05


@pytest.mark.parametrize(
    ("asked", "change", "says"),
    [
        (
            {"metric": "rmse"},
            {},
            "metric 'rmse' is one of regression, the task is classification: give one of 'average",
        ),
        ({"repeats": 0}, {}, "give at least 1, and seconds above zero"),
        ({}, {"y": pl.lit(None)}, "label 'y' is unknown in 2000 rows: drop them first"),
        ({}, {"y": pl.lit(1)}, "roc_auc cannot be computed on these rows: give rows of both classes"),
    ],
)
def test_what_cannot_be_told_says_why(
    table: pl.DataFrame, asked: dict[str, Any], change: dict[str, pl.Expr], says: str
) -> None:
    one = model(Sums((2.0, 0.5, 0.0)))
    with pytest.raises(InputError, match=says):
        permutation_importance(one, table.with_columns(**change), **{"metric": "roc_auc", **asked})


def test_a_table_or_a_model_that_does_not_fit_says_why(table: pl.DataFrame) -> None:
    one = model(Sums((2.0, 0.5, 0.0)))
    with pytest.raises(InputError, match="the table lacks 'strong'"):
        permutation_importance(one, table.drop("strong"))
    with pytest.raises(InputError, match="the table has no rows"):
        permutation_importance(one, table.head(0))
    with pytest.raises(InputError, match="a ranking needs groups"):
        permutation_importance(model(Sums((1.0, 0.0, 0.0)), task="ranking"), table)
    with pytest.raises(InputError, match="'m' forecasts: its features are made of the series"):
        permutation_importance(model(Sums((1.0, 0.0, 0.0)), task="regression", attachments={FILE: b"{}"}), table)
