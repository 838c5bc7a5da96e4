"""A learner of one's own: searched on the workers, saved, and read only by whoever names it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from eagleray.functions.automl import AutoMLOptions, fit, refit
from eagleray.functions.evaluation.metric import average_precision
from eagleray.functions.models.model import Model
from eagleray.functions.models.model_registry import ModelRegistry
from eagleray.functions.training.learner import Fitted, Fold, Learner, LogInteger, by_name
from eagleray.functions.training.trainer import Job, LocalPool
from eagleray.runtime.errors import DefinitionError, InputError
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning", "ignore::DeprecationWarning:mlflow"
)


def neighbours() -> Any:
    """k nearest neighbours, in a function: its classes travel by value, as a notebook's do."""

    class Neighbours:
        NAME, SUFFIX = "neighbours", "npz"

        def space(self, rows: int) -> Any:
            return {"k": LogInteger(1, max(2, rows // 4))}

        def starts(self, rows: int) -> Any:
            return ({"k": 5}, {"k": 25})

        def trainer(self, fold: Fold) -> Any:
            return Memory(fold)

        def booster(self, data: bytes) -> Any:
            return Votes(data)

    class Memory:
        def __init__(self, fold: Fold) -> None:
            self.fold = fold

        def train(self, config: Any, *, limit_s: float, seed: int) -> Fitted:
            votes = Votes(packed(self.fold.x_train, self.fold.y_train, config["k"]))
            return Fitted(1, 1, margins=votes.margins(self.fold.x_valid), cut=False)

        def refit(self, config: Any, *, rounds: int, seed: int) -> bytes:
            return packed(self.fold.x, self.fold.y, config["k"])

    class Votes:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def margins(self, rows: Any) -> Any:
            held = np.load(io.BytesIO(self.data))
            x, y, k = np.nan_to_num(held["x"]), held["y"], int(held["k"])
            far = np.square(np.nan_to_num(rows)[:, None, :] - x[None]).sum(axis=2)
            share = y[np.argpartition(far, k - 1, axis=1)[:, :k]].mean(axis=1)
            return np.log((share + 0.01) / (1.01 - share)).astype(np.float32)

        def contributions(self, rows: Any) -> Any:
            raise InputError("neighbours have no contributions: explain another model")

    def packed(x: Any, y: Any, k: Any) -> bytes:
        held = io.BytesIO()
        np.savez(held, x=x, y=y, k=k)
        return held.getvalue()

    return Neighbours()


def test_it_is_searched_tracked_refitted_and_read_by_those_who_name_it(
    ray_cluster: Settings, tracked: Settings, clicks: pl.DataFrame, tmp_path: Path
) -> None:
    mine: Learner = neighbours()
    options = AutoMLOptions(
        settings=tracked, workers=2, learners=[mine], ignore=("who",), model_name="near", trials=4,
        ensemble_size=2, folds=0, experiment="tests",
    )  # fmt: skip
    table = clicks.with_columns(b=pl.col("b").fill_null(0.0)).drop("at").head(1200)
    run = fit(table, label="clicked", budget_s=20.0, options=options)
    assert set(run.leaderboard["learner"]) == {"neighbours"}
    assert run.leaderboard["status"].to_list().count("failed") == 0
    assert set(run.evaluation.importance) == set(run.model.features)
    assert max(run.evaluation.importance, key=run.evaluation.importance.__getitem__) == "a"

    rows = table.select(run.model.features).cast(pl.Float64).to_numpy()[:200]
    registry, uri = ModelRegistry(tracked), f"models:/near/{run.model.version}"
    found = registry.load(uri, learners=[mine])
    assert found.predict(rows).tolist() == run.model.predict(rows).tolist()
    with pytest.raises(DefinitionError, match=r"by a learner 'neighbours' that is not part of eagleray: .*learners="):
        registry.load(uri)
    found.save(tmp_path / "again")
    assert Model.load(tmp_path / "again", learners=[mine]).predict(rows).tolist() == found.predict(rows).tolist()
    assert (tmp_path / "again" / "member-0.npz").exists()
    with pytest.raises(InputError, match="neighbours have no contributions"):
        found.explain(rows)

    later = refit(run, table.tail(600))
    later.save(tmp_path / "later")
    assert average_precision(table["clicked"].to_numpy()[:200], later.predict(rows)) > 0.4


def test_importance_without_contributions_is_how_far_a_margin_moves(fold: Fold) -> None:
    mine: Learner = neighbours()
    pool = LocalPool(replace(fold, x=np.nan_to_num(fold.x)), learners=[mine])
    pool.submit(Job(0, "neighbours", {"k": 15}, 0, rounds=1))
    (outcome,) = pool.wait(1.0)
    assert outcome.importance is not None
    a, _, _, d = outcome.importance
    assert a > 2 * d > 0


def changed(**attributes: Any) -> Any:
    one = neighbours()
    for name, value in attributes.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: [type(neighbours())], r"learner Neighbours is a class: give an object of it, Neighbours\(\)"),
        (lambda: [neighbours(), neighbours()], "two learners are called 'neighbours'"),
        (lambda: ["linear", "linear"], "two learners are called 'linear'"),
        (lambda: [changed(NAME="xgboost")], "is called 'xgboost', as one of ours is: give it another NAME"),
        (lambda: [changed(NAME="My Learner")], "needs a NAME of small letters"),
        (lambda: [changed(SUFFIX="../x")], "needs a SUFFIX of small letters"),
        (lambda: [changed(trainer=None, booster=None)], "has no method trainer, booster"),
        (lambda: [object()], "learner object has no method space, starts, trainer, booster"),
    ],
)
def test_what_is_no_learner_is_refused_with_the_cure(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        by_name(make())
