"""Searches on parts of a fold: what each may see, and that the clock is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from eagleray.functions.evaluation.metric import average_precision, metric
from eagleray.functions.evaluation.splits import Split
from eagleray.functions.training.budget import Budget
from eagleray.functions.training.judging import judged_rows, notes
from eagleray.functions.training.learner import learner
from eagleray.functions.training.nested import Nested, nested, outer_portions
from eagleray.functions.training.search import Search
from eagleray.functions.training.trainer import Bench, Job, LocalPool
from eagleray.functions.training.training_table import Prepared, prepare
from eagleray.runtime.errors import InputError

FEATURES = ("a", "b", "c", "d")
METRIC = metric("average_precision")


@pytest.fixture(scope="module")
def small(clicks: pl.DataFrame) -> pl.DataFrame:
    return clicks.head(400)


def ready(table: pl.DataFrame, split: Split) -> Prepared:
    return prepare(table, FEATURES, label="clicked", metric_name="average_precision", split=split)


def search() -> Search:
    one = learner("xgboost")
    return Search({"xgboost": one.space(250)}, starts={"xgboost": one.starts(250)}, metric=METRIC, seed=0)


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that is so much later each time one looks."""
    now = [0.0]

    def clock() -> float:
        now[0] += step_s
        return now[0]

    return clock


@pytest.mark.parametrize("split", [Split(), Split(groups="who"), Split(time_column="at")])
def test_a_portion_knows_nothing_of_what_it_is_judged_by(small: pl.DataFrame, split: Split) -> None:
    made = ready(small, split)
    found = outer_portions(small, made, split, 4)
    assert len(found) == 4
    for one in found:
        known, held = made.rows[one.rows], made.rows[one.held]
        assert not set(known) & set(held)
        fold = one.of(made.fold)
        assert fold.y.tolist() == small["clicked"].cast(pl.Float32).gather(known).to_list()
        assert 0 < fold.train_rows < len(fold.y)
        if split.groups:
            assert not set(small["who"].gather(known)) & set(small["who"].gather(held))
        if split.time_column:
            assert known.max() < held.min()  # the clicks are in the order of time


def test_small_tables_are_nested_unless_they_are_divided_already(clicks: pl.DataFrame, small: pl.DataFrame) -> None:
    assert len(outer_portions(small, ready(small, Split()), Split(), None)) == 5
    assert outer_portions(small, ready(small, Split()), Split(), 0) == ()
    assert outer_portions(clicks, ready(clicks, Split()), Split(), None) == ()
    held = Split(test_fraction=0.2)
    assert outer_portions(small, ready(small, held), held, None) == ()
    few = small.with_columns(who=pl.int_range(pl.len()) % 3)
    by_group = Split(groups="who", fraction=0.4)
    assert outer_portions(few, ready(few, by_group), by_group, None) == ()
    with pytest.raises(InputError, match="too few groups of 'who' for 5 folds"):
        outer_portions(few, ready(few, by_group), by_group, 5)


def test_every_row_is_judged_once_by_a_search_that_did_not_see_it(small: pl.DataFrame) -> None:
    made = ready(small, Split())
    portions = outer_portions(small, made, Split(), 4)
    pool = LocalPool(made.fold, portions)
    found = nested(
        portions,
        prepared=made,
        pool=pool,
        search=search,
        metric=METRIC,
        clock=ticking(0.01),
        budget=Budget(2.0, 0.0, 1.0),
    )
    assert found is not None
    assert sorted(found.places) == list(range(400))
    judged = judged_rows(small, made, Split(), found)
    assert judged.source == "nested"
    assert judged.labels.tolist() == judged.rows["clicked"].cast(pl.Float32).to_list()
    assert average_precision(judged.labels, judged.margins) > 0.5
    assert notes(small, FEATURES, made, judged, portions) == ()


def test_time_that_is_too_short_is_said(small: pl.DataFrame) -> None:
    made = ready(small, Split())
    portions = outer_portions(small, made, Split(), 4)
    pool = LocalPool(made.fold, portions)
    assert (
        nested(
            portions,
            prepared=made,
            pool=pool,
            search=search,
            metric=METRIC,
            clock=lambda: 9.0,
            budget=Budget(10.0, 1.0, 1.0),
        )
        is None
    )
    judged = judged_rows(small, made, Split(), np.zeros(80, dtype=np.float32))
    assert (judged.source, len(judged.labels)) == ("validation", 80)
    (said,) = notes(small, FEATURES, made, judged, portions)
    assert said.startswith("Time was left for 0 of 4 folds")
    half = Nested(np.zeros(2, dtype=np.float32), np.array([0, 1]), np.array([0, 1]))
    assert judged_rows(small, made, Split(), half).parts is not None


def test_a_portion_is_fitted_on_its_rows_and_scores_those_held_out(small: pl.DataFrame) -> None:
    made = ready(small, Split())
    (portion, *_) = outer_portions(small, made, Split(), 4)
    config = learner("xgboost").starts(250)[0]
    done = Bench(made.fold, (portion,)).run(Job(0, "xgboost", config, seed=0, rounds=20, portion=0))
    alone = Bench(portion.of(made.fold)).run(Job(0, "xgboost", config, seed=0, rounds=20))
    assert done.booster == alone.booster
    assert done.held is not None
    expected = learner("xgboost").booster(done.booster).margins(made.fold.x[portion.held])
    assert done.held.tolist() == expected.tolist()
    assert done.importance is None
    assert alone.importance is not None
    assert alone.importance.argmax() == 0  # column a tells most
    assert (alone.importance[3] < alone.importance[:2]).all()
