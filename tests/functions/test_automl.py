"""The whole call, with budgets of seconds."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest

from eagleray.functions.automl import AutoMLOptions, fit
from eagleray.functions.evaluation.metric import average_precision
from eagleray.functions.evaluation.threshold import Capacity, Cost
from eagleray.functions.models.model import Model
from eagleray.functions.models.model_registry import ModelRegistry
from eagleray.functions.training.learner import LEARNERS
from eagleray.functions.training.search import Trial
from eagleray.runtime.errors import DefinitionError, InputError
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)

IGNORE = ("who",)
PLAIN = ("who", "at")


def trainer_processes() -> list[Any]:
    """The worker processes, by the title Ray gives them."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if (one.cmdline() or [""])[0].startswith("ray::TrainerActor"):
                found.append(one)
    return found


@pytest.fixture
def options(tracked: Settings) -> AutoMLOptions:
    return AutoMLOptions(settings=tracked, workers=2, ignore=IGNORE, model_name="clicks", experiment="tests")


def test_a_table_becomes_a_registered_model_inside_the_budget(
    ray_cluster: Settings, clicks: pl.DataFrame, options: AutoMLOptions
) -> None:
    seen: list[Trial] = []
    more = replace(
        options, on_trial=seen.append, feature_vector="clicks:v1", attachments={"profile.bin": b"p"}, tags={"team": "t"}
    )
    began = time.monotonic()
    run = fit(clicks, label="clicked", budget_s=8.0, time_column="at", options=more)
    assert time.monotonic() - began <= 8.0 + 3.0
    assert run.leaderboard.height == len(seen) >= 4
    assert set(run.leaderboard["learner"]) == set(LEARNERS)  # the table is small
    assert run.leaderboard["average_precision"][0] > 0.6
    assert run.metrics["average_precision"] >= run.leaderboard["average_precision"][0] - 0.01
    assert run.model.features == ("a", "b", "c", "d", "night")
    assert run.model.signature["night"] == "Boolean"

    found = ModelRegistry(more.settings or Settings.from_env()).load(f"models:/clicks/{run.model.version}")
    assert found.run_id == run.run_id
    assert (found.feature_vector, found.attachments) == ("clicks:v1", {"profile.bin": b"p"})
    rows = clicks.select(found.features).cast(pl.Float64).fill_null(np.nan).to_numpy()
    assert found.predict(rows).tolist() == run.model.predict(rows).tolist()
    assert average_precision(clicks["clicked"].to_numpy(), found.predict(rows)) > 0.7
    assert np.abs(found.explain(rows).sum(axis=1) - found.margins(rows)).max() < 1e-4


def test_where_few_trials_fit_in_many_are_screened_first(ray_cluster: Settings, options: AutoMLOptions) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60_000, 30))
    table = pl.DataFrame({f"x{i}": x[:, i] for i in range(30)}).with_columns(
        y=pl.Series(x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=60_000) > 1.5)
    )
    run = fit(table, label="y", budget_s=12.0, options=replace(options, ignore=(), track=False))
    board = run.leaderboard
    assert board["status"].to_list().count("screened") == 12
    ranked = board.filter(pl.col("status").is_in(["done", "cut"]))
    assert board["status"].head(ranked.height).to_list() == ranked["status"].to_list()  # below all trials on all rows
    screened = board.filter(pl.col("status") == "screened")
    assert set(ranked.select("learner", "config").rows()) & set(screened.select("learner", "config").rows())
    assert run.about["learner"] == ranked["learner"][0]


def test_a_worker_that_is_killed_costs_its_trial_not_the_search(
    ray_cluster: Settings, clicks: pl.DataFrame, options: AutoMLOptions
) -> None:
    earlier = {one.pid for one in trainer_processes()}  # of another test, on their way out
    killed: list[int] = []

    def kill_it(trial: Trial) -> None:
        if not killed:
            (worker,) = (one for one in trainer_processes() if one.pid not in earlier)
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    run = fit(
        clicks,
        label="clicked",
        budget_s=8.0,
        time_column="at",
        # One worker: a second may still be starting when the first trial ends, and its end would cost no trial.
        options=replace(options, track=False, workers=1, on_trial=kill_it),
    )
    assert killed
    assert run.leaderboard["status"].to_list().count("failed") == 1
    assert "its worker died" in run.leaderboard["error"][-1]
    assert run.metrics["average_precision"] > 0.6


def test_an_interrupt_ends_the_workers(ray_cluster: Settings, clicks: pl.DataFrame, options: AutoMLOptions) -> None:
    earlier = {one.pid for one in trainer_processes()}  # of another test, on their way out
    workers: list[Any] = []

    def interrupt(trial: Trial) -> None:
        found = [one for one in trainer_processes() if one.pid not in earlier]
        if len(found) == 2:  # the second may still be starting when the first trial ends
            workers.extend(found)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(
            clicks,
            label="clicked",
            budget_s=60.0,
            time_column="at",
            options=replace(options, track=False, on_trial=interrupt),
        )
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert len(workers) == 2


def test_regression_untracked(ray_cluster: Settings, clicks: pl.DataFrame, options: AutoMLOptions) -> None:
    table = clicks.with_columns(price=10 + 3 * pl.col("a") + pl.col("clicked")).drop("clicked", "at")
    run = fit(
        table, label="price", metric="rmse", budget_s=3.0,
        options=replace(options, track=False, learners=("lightgbm",), ensemble_size=1),
    )  # fmt: skip
    assert (run.run_id, run.model.task, len(run.model.members)) == ("", "regression", 1)
    assert run.metrics["rmse"] < 1.0
    rows = table.select(run.model.features).cast(pl.Float64).fill_null(np.nan).to_numpy()
    assert run.model.predict(rows).mean() == pytest.approx(10, abs=0.5)


def test_every_learner_is_searched_and_their_mean_explained(
    ray_cluster: Settings, clicks: pl.DataFrame, options: AutoMLOptions, tmp_path: Path
) -> None:
    names = ("xgboost", "forest", "extra_trees", "linear")
    run = fit(
        clicks, label="clicked", budget_s=12.0, time_column="at",
        options=replace(options, track=False, learners=names, trials=12, ensemble_size=4),
    )  # fmt: skip
    assert set(run.leaderboard["learner"]) == set(names)
    assert run.leaderboard["status"].to_list().count("failed") == 0
    run.model.save(tmp_path / "model")
    found = Model.load(tmp_path / "model")
    rows = clicks.select(found.features).cast(pl.Float64).fill_null(np.nan).to_numpy()
    assert found.predict(rows).tolist() == run.model.predict(rows).tolist()
    assert np.abs(found.explain(rows).sum(axis=1) - found.margins(rows)).max() < 1e-4


@pytest.mark.parametrize("budget_s", [0.0, -1.0, float("nan"), float("inf"), "10", None])
def test_a_budget_must_be_above_zero(clicks: pl.DataFrame, budget_s: float) -> None:
    with pytest.raises(InputError, match=r"budget_s is .*: give the seconds to search"):
        fit(clicks, label="clicked", budget_s=budget_s)


@pytest.mark.parametrize(
    ("label", "metric", "options", "error", "says"),
    [
        ("klicked", "roc_auc", AutoMLOptions(ignore=IGNORE), InputError, "did you mean 'clicked'"),
        ("clicked", "auc", AutoMLOptions(ignore=(*IGNORE, "at")), InputError, "no metric 'auc'"),
        ("clicked", "roc_auc", AutoMLOptions(ignore=("at",)), InputError, r"'who' \(String\)"),
        ("clicked", "roc_auc", AutoMLOptions(learners=()), InputError, "options.learners is empty"),
        ("clicked", "roc_auc", AutoMLOptions(learners=("xgb",)), DefinitionError, "no learner 'xgb'"),
        ("clicked", "roc_auc", AutoMLOptions(ignore="who"), InputError, r"is the text 'who': give a list of names"),
        ("clicked", "roc_auc", AutoMLOptions(workers=0), InputError, "options.workers is 0"),
        ("clicked", "roc_auc", AutoMLOptions(ensemble_size=0), InputError, "options.ensemble_size is 0"),
        ("a", "roc_auc", AutoMLOptions(ignore=("at", "who")), InputError, "give 0 and 1, or metric='rmse'"),
        ("clicked", "roc_auc", AutoMLOptions(ignore=IGNORE, segments=("land",)), InputError, "no column 'land'"),
        ("clicked", "roc_auc", AutoMLOptions(ignore=PLAIN, threshold=Capacity(9)), InputError, "give a time_column"),
        ("a", "rmse", AutoMLOptions(ignore=PLAIN, threshold=Cost(1, 2)), InputError, "a threshold is for classes"),
        ("clicked", "roc_auc", AutoMLOptions(folds=3, test_fraction=0.1), InputError, "hold rows out in one way"),
        ("clicked", "roc_auc", AutoMLOptions(calibration="beta"), InputError, "no calibration 'beta'"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_starts(
    clicks: pl.DataFrame, label: str, metric: str, options: AutoMLOptions, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        fit(clicks, label=label, metric=metric, options=options)
