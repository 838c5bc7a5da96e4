"""Which searches are screened first, and on which rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from eagleray.functions.evaluation.metric import Task, metric
from eagleray.functions.training.learner import Config, Fitted, Fold, LogUniform, Space
from eagleray.functions.training.screening import Screening, screening
from eagleray.functions.training.search import Candidate, Search, Trial
from eagleray.functions.training.trainer import Bench, Job
from eagleray.functions.training.xgboost_model import XGBoostLearner, XGBoostTrainer

SPACE: Space = {"rate": LogUniform(0.01, 1.0)}
STARTS = [{"rate": rate} for rate in (0.5, 0.1, 0.05)]


def large(task: Task = "classification", rows: int = 50_000, positive: float = 0.1) -> Fold:
    """A fold of which a fifth judges."""
    rng = np.random.default_rng(0)
    y = (rng.random(rows) < positive).astype(np.float32) if task == "classification" else np.arange(rows) % 5
    return Fold(
        x=rng.normal(size=(rows, 10)).astype(np.float32), y=y.astype(np.float32), train_rows=rows * 4 // 5, task=task,
        metric="roc_auc", queries=np.arange(rows) // 20 if task == "ranking" else None,
    )  # fmt: skip


def of(fold: Fold, budget_s: float = 2.0, known_rows: int | None = None) -> Screening | None:
    return screening(fold, known_rows=known_rows or len(fold.y), budget_s=budget_s, seed=0)


def test_only_where_few_trials_fit_into_the_budget() -> None:
    assert of(large(), budget_s=2.0) is not None
    assert of(large(), budget_s=200.0) is None


def test_not_where_a_sample_would_tell_too_little() -> None:
    assert of(large(rows=10_000), budget_s=0.3) is None  # a quarter of 8,000 rows is too few
    assert of(large(positive=0.001)) is None  # and so is a quarter of some forty positive ones


def test_the_sample_teaches_in_proportion_and_judges_by_all() -> None:
    fold = large()
    found = of(fold, known_rows=45_000)
    assert found is not None
    small = found.portion.of(fold)
    assert 4_000 <= small.train_rows <= 10_000
    assert small.y_train.mean() == pytest.approx(fold.y_train.mean(), abs=1e-3)
    np.testing.assert_array_equal(small.x_valid, fold.x[40_000:45_000])
    taken = np.asarray(found.portion.rows)[: small.train_rows]
    assert (np.diff(taken) > 0).all()
    assert taken[-1] < fold.train_rows


def test_it_takes_a_quarter_of_the_budget_by_estimate() -> None:
    fold = large(rows=1_000_000)
    found = of(fold, budget_s=30.0)
    assert found is not None
    share = found.portion.of(fold).train_rows / fold.train_rows
    full_s = fold.train_rows * 10 * 1.5e-6
    assert found.candidates * share * full_s == pytest.approx(0.25 * 30.0, rel=1e-3)
    assert found.candidates * found.limit_s == pytest.approx(15.0)


def test_in_ranking_queries_are_taken_whole() -> None:
    fold = large("ranking")
    found = of(fold)
    assert found is not None
    small = found.portion.of(fold)
    assert small.queries is not None
    assert set(np.unique(small.queries[: small.train_rows], return_counts=True)[1]) == {20}


def test_the_sample_is_the_same_each_time() -> None:
    one, other = of(large("regression")), of(large("regression"))
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.portion.rows, other.portion.rows)


def search(screened: int) -> Search:
    spaces = {"one": SPACE, "two": SPACE}
    return Search(spaces, starts=dict.fromkeys(spaces, STARTS), metric=metric("roc_auc"), seed=0, screened=screened)


def told(candidate: Candidate, value: float) -> Trial:
    status = "failed" if math.isnan(value) else "screened" if candidate.is_screened else "done"
    return Trial(candidate.number, candidate.learner, candidate.config, status, value, 9, 1.0)  # type: ignore[arg-type]


def test_the_best_of_the_screened_go_on_and_the_best_of_each_learner() -> None:
    one = search(screened=6)
    asked = [one.ask() for _ in range(6)]
    assert all(candidate.is_screened for candidate in asked)
    values = {("one", 0.1): 0.9, ("one", 0.05): 0.8, ("one", 0.5): 0.7, ("two", 0.05): 0.6}
    for candidate in asked:
        one.tell(told(candidate, values.get((candidate.learner, candidate.config["rate"]), 0.5)))
    assert one.ranking == []  # they are no match for trials on all rows
    promoted = [one.ask() for _ in range(3)]
    assert [(it.learner, it.config["rate"], it.is_screened) for it in promoted] == [
        ("one", 0.1, False), ("one", 0.05, False), ("two", 0.05, False),
    ]  # fmt: skip
    one.tell(told(promoted[0], 0.4))
    assert [trial.number for trial in one.ranking] == [6]


def test_many_workers_go_on_with_what_was_screened_until_one_on_all_rows_has_ended() -> None:
    one = search(screened=6)
    asked = [one.ask() for _ in range(6)]
    for candidate in asked:
        one.tell(told(candidate, 0.9 - 0.1 * candidate.number))
    promoted = [one.ask() for _ in range(4)]
    assert [it.config for it in promoted] == [it.config for it in asked[:4]]  # none of them drawn at random
    one.tell(told(promoted[0], 0.8))
    assert one.ask().config not in STARTS


def test_one_that_ends_after_the_cut_is_among_them() -> None:
    one = search(screened=2)
    first, late = one.ask(), one.ask()
    one.tell(told(first, 0.7))
    assert one.ask().config == first.config
    one.tell(told(late, 0.99))
    following = one.ask()
    assert (following.learner, following.config, following.is_screened) == (late.learner, late.config, False)
    assert one.ranking == []


def test_where_none_ended_or_all_failed_the_search_begins_with_its_starting_points() -> None:
    one = search(screened=2)
    one.ask()
    one.tell(told(one.ask(), math.nan))
    assert [one.ask().config for _ in range(6)] == [start for start in STARTS for _ in range(2)]


class Counting(XGBoostLearner):
    """A learner whose trainer tells how many rows taught it."""

    NAME = "counting"

    def trainer(self, fold: Fold) -> CountingTrainer:
        return CountingTrainer(fold)


class CountingTrainer(XGBoostTrainer):
    def train(self, config: Config, *, limit_s: float, seed: int) -> Fitted:
        margins = np.full(len(self._fold.y_valid), self._fold.train_rows, dtype=np.float32)
        return Fitted(1, 1, margins, False)


def test_a_worker_trains_on_the_sample_and_is_judged_by_all_rows() -> None:
    fold = large()
    found = of(fold)
    assert found is not None
    bench = Bench(fold, [found.portion])
    bench.warm_up([Counting()])
    job = Job(0, "counting", STARTS[0], seed=0, limit_s=1.0)
    small = bench.run(replace(job, portion=found.place)).fitted
    full = bench.run(job).fitted
    assert small is not None
    assert full is not None
    assert len(small.margins) == len(full.margins) == 10_000
    assert (small.margins[0], full.margins[0]) == (found.portion.of(fold).train_rows, 40_000)
