"""Rows of queries, ordered: the split keeps queries whole, learners order, and the report tells how well."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.functions.automl import AutoMLOptions, fit, refit
from eagleray.functions.evaluation.evaluation import Judged, judge
from eagleray.functions.evaluation.ndcg import ndcg
from eagleray.functions.evaluation.report import report
from eagleray.functions.evaluation.splits import Split
from eagleray.functions.models.model import Model
from eagleray.functions.training.learner import LEARNERS, Fold, Patience, learner
from eagleray.functions.training.nested import outer_portions
from eagleray.functions.training.training_table import Prepared, prepare
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

FEATURES = ("price", "fit", "noise")


@pytest.fixture(scope="module")
def offers() -> pl.DataFrame:
    """1,600 offers in 200 queries, mixed; each query has a level of its own, which says nothing of its order."""
    rng = np.random.default_rng(0)
    query = rng.permutation(np.repeat(np.arange(200), 8))
    x = rng.normal(size=(1600, 3))
    worth = 1.5 * x[:, 1] - x[:, 0] + rng.normal(size=1600) / 2
    grades = np.clip(np.floor(worth + 1.5), 0, 4).astype(int)
    level = rng.normal(size=200)[query] * 3
    return pl.DataFrame({
        "query": [f"q{i}" for i in query], "at": query * 10 + rng.integers(0, 30, 1600), "price": x[:, 0] + level * 0,
        "fit": x[:, 1], "noise": x[:, 2] + level, "grade": grades,
    })  # fmt: skip


def ready(table: pl.DataFrame, split: Split) -> Prepared:
    return prepare(table, FEATURES, label="grade", metric_name="ndcg", split=split)


@pytest.mark.parametrize("split", [Split(groups="query"), Split(groups="query", time_column="at", test_fraction=0.2)])
def test_a_query_stays_on_one_side(offers: pl.DataFrame, split: Split) -> None:
    made = ready(offers, split)
    assert made.fold.queries is not None
    assert made.queries_valid is not None
    ends = (0, made.fold.train_rows, made.known_rows, made.known_rows + made.test_rows)
    sides = [set(made.fold.queries[a:b]) for a, b in itertools.pairwise(ends)]
    assert not sides[0] & sides[1]
    assert not sides[2] & (sides[0] | sides[1])
    assert (np.diff(np.unique(made.queries_valid)) > 0).all()
    names = offers["query"][made.rows]
    assert names.n_unique() == len({*zip(names, made.fold.queries, strict=True)}) == 200
    if split.time_column:
        last = offers.group_by("query").agg(pl.col("at").max())
        when = dict(last.iter_rows())
        first, second = names[: ends[1]], names[ends[1] : ends[2]]
        assert max(when[name] for name in first) < min(when[name] for name in second)
    for portion in outer_portions(offers, made, Split(groups="query"), 4):
        part = portion.of(made.fold)
        assert part.queries is not None
        assert not set(part.queries[: part.train_rows]) & set(part.queries[part.train_rows :])


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_every_learner_orders(offers: pl.DataFrame, name: str) -> None:
    fold: Fold = ready(offers, Split(groups="query")).fold
    assert fold.queries is not None
    assert fold.queries_valid is not None
    one = learner(name)
    config = one.starts(fold.train_rows)[0]
    fitted = one.trainer(fold).train(config, limit_s=30.0, seed=0)
    chance = ndcg(fold.y_valid, np.random.default_rng(0).random(len(fold.y_valid)), fold.queries_valid)
    assert ndcg(fold.y_valid, fitted.margins, fold.queries_valid) > chance + 0.6 * (1 - chance)
    booster = one.booster(one.trainer(fold).refit(config, rounds=max(5, fitted.rounds), seed=0))
    margins = booster.margins(fold.x)
    assert ndcg(fold.y, margins, fold.queries) > chance + 0.6 * (1 - chance)
    assert np.abs(booster.contributions(fold.x).sum(axis=1) - margins).max() < 1e-4


def test_the_evaluation_shows_ndcg_with_an_interval_over_queries(offers: pl.DataFrame) -> None:
    labels = offers["grade"].to_numpy().astype(float)
    scores = (offers["fit"] - offers["price"]).to_numpy()
    judged = Judged("ranking", labels, scores, offers, groups="query")
    found = judge(judged, metric="ndcg", segment_by=("query", "noise"))
    one = found.estimates["ndcg"]
    queries = offers["query"].rank("dense").to_numpy().astype(np.int64)
    assert one.value == pytest.approx(ndcg(labels, scores, queries))
    assert one.low < one.value < one.high < one.low + 0.1
    assert len([part for part in found.segments if part.column == "noise"]) == 4
    page = report(found, title="Offers", about={}).html
    assert "NDCG (searched for)" in page
    assert "Grade by score" in page


def test_a_cut_judges_the_segments_and_the_report(offers: pl.DataFrame) -> None:
    scores = (offers["fit"] - offers["price"]).to_numpy()
    judged = Judged("ranking", offers["grade"].to_numpy().astype(float), scores, offers, groups="query")
    found = judge(judged, metric="ndcg_2", segment_by=("noise",))
    queries = offers["query"].rank("dense").to_numpy().astype(np.int64)
    one = found.estimates["ndcg_2"]
    assert one.value == pytest.approx(ndcg(judged.labels, scores, queries, k=2))
    assert one.low < one.value < one.high < found.estimates["ndcg"].low
    for part in found.segments:
        assert part.estimate.value == part.metrics["ndcg_2"] != part.metrics["ndcg"]
        assert part.estimate.low < part.estimate.value < part.estimate.high
    page = report(found, title="Offers", about={}).html
    assert "NDCG@2 (searched for)" in page
    assert page.count("NDCG@2") == 2  # and above the segments


@pytest.mark.parametrize(("measure", "best"), [("ndcg_1", 1), ("ndcg", 2)])
def test_boosting_stops_by_the_cut(offers: pl.DataFrame, measure: str, best: int) -> None:
    """Round 1 has the first place right and the others upside down, round 2 all but the first two places."""
    split = Split(groups="query")
    fold = prepare(offers, FEATURES, label="grade", metric_name=measure, split=split).fold
    assert fold.queries_valid is not None
    first, nearly = -fold.y_valid, fold.y_valid + 0.0
    for query in np.unique(fold.queries_valid):
        rows = np.flatnonzero(fold.queries_valid == query)
        highest = rows[np.argsort(-fold.y_valid[rows])]
        first[highest[0]], nearly[highest[0]] = 9, (fold.y_valid[highest[1]] + fold.y_valid[highest[2]]) / 2
    patience = Patience(fold, rounds=9, limit_s=1e9)
    patience.after_round(1, fold.y_valid, first)
    patience.after_round(2, fold.y_valid, nearly)
    assert patience.best_round == best


def test_a_ranking_end_to_end(ray_cluster: Settings, offers: pl.DataFrame, tmp_path: Path) -> None:
    run = fit(
        offers.drop("at"), label="grade", task="ranking", groups="query", metric="ndcg_3", budget_s=12.0,
        options=AutoMLOptions(track=False, workers=2, trials=6, folds=2),
    )  # fmt: skip
    assert run.model.task == "ranking"
    assert run.model.features == FEATURES
    assert run.metrics["ndcg"] > 0.9
    assert run.leaderboard["ndcg_3"][0] == pytest.approx(run.metrics["ndcg_3"], abs=0.1)
    assert run.evaluation.metric == run.about["metric"] == "ndcg_3"
    assert run.leaderboard["status"].to_list().count("failed") == 0
    run.model.save(tmp_path / "model")
    rows = offers.select(FEATURES).to_numpy()
    scores = Model.load(tmp_path / "model").predict(rows)
    assert scores.tolist() == run.model.margins(rows).tolist()
    queries = offers["query"].rank("dense").to_numpy().astype(np.int64)
    assert ndcg(offers["grade"].to_numpy(), scores, queries) > 0.9
    later = refit(run, offers.head(800))
    assert ndcg(offers["grade"].to_numpy(), later.predict(rows), queries) > 0.85


def changed(offers: pl.DataFrame, grade: pl.Expr) -> pl.DataFrame:
    return offers.drop("at").with_columns(grade.alias("grade"))


@pytest.mark.parametrize(
    ("grade", "groups", "says"),
    [
        (pl.col("grade"), None, "a ranking needs groups, the column that the rows of one query share: groups=.query"),
        (pl.col("grade") - 1, "query", "label 'grade' goes from -1 to 3: .* whole numbers from 0"),
        (pl.col("grade") * 8, "query", "label 'grade' goes from 0 to 32: .* whole numbers from 0 .* to 31"),
        (pl.col("grade") / 2, "query", "a ranking learns from grades, whole numbers"),
        (pl.col("grade"), "row", "every group of 'row' has one row among those to learn from: .* name the column that"),
        (pl.col("grade").max().over("query"), "query", "no group of 'query' has two different grades among the rows"),
    ],
)
def test_what_cannot_be_ranked_says_why(offers: pl.DataFrame, grade: pl.Expr, groups: str | None, says: str) -> None:
    table = changed(offers, grade)
    if groups == "row":
        table = table.with_row_index("row")
    aside = tuple(name for name in ("query", "row") if name in table.columns and name != groups)
    with pytest.raises(InputError, match=says):
        fit(table, label="grade", task="ranking", groups=groups, options=AutoMLOptions(ignore=aside))


def test_a_threshold_and_a_metric_of_classes_do_not_fit_a_ranking(offers: pl.DataFrame) -> None:
    with pytest.raises(InputError, match=r"metric 'roc_auc' is one of classification, the task is ranking: .* 'ndcg'"):
        fit(offers, label="grade", task="ranking", metric="roc_auc", groups="query")
