"""What people give by mistake is refused at once, by a message that names it and the cure."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from eagleray.functions.automl import AutoMLOptions, Horizon, fit
from eagleray.runtime.errors import DefinitionError, InputError

ROWS = 600
RNG = np.random.default_rng(0)
A = RNG.normal(size=ROWS)
FLAT = pl.DataFrame({"a": A, "b": RNG.normal(size=ROWS), "y": (A + RNG.normal(size=ROWS) > 0).astype(int)})
TIMES = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 3, 1), "1h", eager=True).alias("at")[:ROWS]
TIMED = FLAT.with_columns(TIMES)
OFFERS = FLAT.with_columns(g=pl.Series([f"g{i % 40}" for i in range(ROWS)]))
SERIES = pl.DataFrame([TIMES, FLAT["a"].alias("v")])
SOME = pl.col("a") < 1


def with_label(label: pl.Expr) -> pl.DataFrame:
    return FLAT.with_columns(y=label)


LABELS = [
    (with_label(pl.lit(1)), {}, "label 'y' is 1 in every row: give both classes"),
    (with_label(pl.lit(None)), {}, "label 'y' is null in every row: is it another column"),
    (with_label(pl.when(SOME).then(pl.col("b"))), {}, r"unknown \(null, NaN or infinite\) in 100 of 600 rows: drop"),
    (with_label(pl.when(SOME).then("b").otherwise(float("nan"))), {}, "in 100 of 600 rows: drop them first, e.g. with"),
    (with_label(pl.when(SOME).then("b").otherwise(float("inf"))), {}, r"table.filter\(pl.col\('y'\).is_finite\(\)\)"),
    (with_label(pl.lit("no")), {}, r"label 'y' is String: turn it into 0 and 1, e.g. with pl.col\('y'\) == 'no'"),
    (
        with_label(pl.lit("3")),
        {"task": "regression"},
        r"turn it into numbers, e.g. with pl.col\('y'\).cast\(pl.Float64",
    ),
    (with_label(pl.col("y") + 1), {}, "label 'y' holds the whole numbers 1, 2: say task='regression' .* give 0 and 1"),
    (FLAT, {"label": "Y"}, "no label column 'Y'; did you mean 'y'?"),
    (FLAT.head(0), {}, "the table is empty: there is nothing to learn from"),
    (pl.DataFrame(), {}, "the table is empty: it has neither rows nor columns"),
]
COLUMNS = [
    (FLAT.with_columns(c=pl.lit(None)), {}, "columns hold nothing but nulls: 'c'; fill or ignore them"),
    (FLAT.with_columns(c=pl.lit("x")), {}, r"'c' \(String\); encode them as numbers, e.g. with .cast\(pl.Float64\) or"),
    (FLAT.with_columns(c=pl.concat_list("a", "b")), {}, r"'c' \(List\(Float64\)\); take numbers out of them"),
    (TIMED, {}, r"'at' \(Datetime.*\); turn times into numbers, e.g. the days before the row's own, or ignore"),
    (FLAT.with_columns(c=pl.col("a") * 1e300), {}, r"infinite values, or some beyond the 3.4e38 of float32: 'c'; make"),
    (FLAT.with_columns(c=pl.col("y") * 2), {}, "'c' is the label in another form"),
    (FLAT, {"time_column": "at"}, "no column 'at' for time_column"),
    (FLAT, {"groups": "g"}, "no column 'g' for groups; known: a, b, y"),
    (TIMED.cast({"at": pl.String}), {"time_column": "at"}, r"'at' is String: .* pl.col\('at'\).str.to_datetime"),
    (OFFERS.with_columns(g=pl.when(SOME).then("g")), {"groups": "g"}, "groups 'g' has 100 nulls: fill them or drop"),
    (OFFERS.with_columns(g=pl.lit("x")), {"groups": "g"}, "groups 'g' is 'x' in every row.*: name another column, or"),
    (
        pl.DataFrame(np.zeros((ROWS, 10_000))).with_columns(FLAT["y"]),
        {},
        r"10,000 feature columns .* keep at most 5,000",
    ),
]
RANKED = {"task": "ranking", "label": "y"}
ONE = OFFERS.with_columns(g=pl.lit("q"))
RANKINGS = [
    (OFFERS, RANKED, "a ranking needs groups, the column that the rows of one query share: groups='query', say"),
    (OFFERS, {"metric": "ndcg_5", "label": "y"}, "a ranking needs groups"),
    (FLAT, RANKED | {"groups": "g"}, "no column 'g' for groups"),
    (ONE, RANKED | {"groups": "g"}, "groups 'g' is 'q' in every row, .* name the column of queries, with two of them"),
    (ONE.with_columns(TIMES), RANKED | {"groups": "g", "time_column": "at"}, "groups 'g' is 'q' in every row"),
    (OFFERS, RANKED | {"groups": "g", "metric": "rmse"}, "task is ranking: give one of 'ndcg', 'ndcg_10' .* leave the"),
]
AHEAD: dict[str, Any] = {
    "task": "forecast", "label": "v", "time_column": "at", "options": AutoMLOptions(horizon=Horizon(24)),
}  # fmt: skip
FORECASTS = [
    (SERIES, AHEAD | {"metric": "roc_auc"}, "'roc_auc' is one of classification, the task is forecast: give one of "
     "'rmse', 'mae', 'r2', or leave the metric out"),
    (SERIES, AHEAD | {"metric": "ndcg_5"}, "'ndcg_5' is one of ranking, the task is forecast: give one of"),
    (SERIES, AHEAD | {"groups": "shop"}, "no column 'shop' for groups"),
    (SERIES, AHEAD | {"label": "w"}, "no column 'w' for the label"),
    (SERIES.cast({"at": pl.String}), AHEAD, r"'at' is String: give dates, .* pl.col\('at'\).str.to_datetime\(\)"),
    (SERIES.with_columns(v=pl.when(pl.col("v") < 1).then("v").otherwise(float("inf"))), AHEAD,
     "label 'v' is infinite in 100 rows: make it null there"),
]  # fmt: skip
OPTIONS: list[tuple[pl.DataFrame, dict[str, Any], str]] = [
    (FLAT, {"budget_s": value}, "budget_s is .*: give the seconds to search, a number above zero")
    for value in (0, -1, "60", float("nan"), True, None)
]
OPTIONS += [
    (FLAT, {"metric": "auc"}, "no metric 'auc'; did you mean 'roc_auc'?"),
    (FLAT, {"metric": "ROC_AUC"}, "did you mean 'roc_auc'?"),
    (FLAT, {"task": "forecasting"}, "no task 'forecasting'; did you mean 'forecast'?"),
    (FLAT, {"task": ["ranking"]}, r"no task \['ranking'\]"),
    (FLAT, {"options": {"track": False}}, r"options is a dict: give automl.AutoMLOptions\("),
    (FLAT, {"options": AutoMLOptions(learners=["xgbost"])}, "no learner 'xgbost'; did you mean 'xgboost'?"),
    (FLAT, {"options": AutoMLOptions(workers="2")}, "options.workers is '2': give a number"),  # type: ignore[arg-type]
    (FLAT, {"options": AutoMLOptions(threshold=0.5)}, r"Cost\(1, 50\), .* Capacity\("),  # type: ignore[arg-type]
    (FLAT, {"options": AutoMLOptions(validation_gap="7d")}, "validation_gap='7d' is a time .*: name the time_column"),
    (FLAT, {"options": AutoMLOptions(folds=10**6)}, "too few rows for 1000000 folds: give fewer folds"),
    (TIMED, {"time_column": "at", "options": AutoMLOptions(folds=10**6)}, "too few times for 1000000 folds"),
]


@pytest.mark.parametrize(("table", "asked", "says"), LABELS + COLUMNS + RANKINGS + FORECASTS + OPTIONS)
@pytest.mark.timeout(10)
def test_a_mistake_is_refused_before_a_worker_starts(table: pl.DataFrame, asked: dict[str, Any], says: str) -> None:
    with pytest.raises((InputError, DefinitionError), match=says):
        fit(table, **{"label": "y", **asked})
