"""What the whole call says of its model: splits, calibration, threshold, report. Trained in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import polars as pl
import pytest

from eagleray.functions import automl
from eagleray.functions.automl import AutoMLOptions, fit
from eagleray.functions.evaluation.threshold import Capacity, Cost
from eagleray.functions.fitting import automl_question, automl_search
from eagleray.functions.models.model_registry import ModelRegistry
from eagleray.functions.runs.tracking import run_store
from eagleray.functions.training.learner import Fold
from eagleray.functions.training.trainer import LocalPool, Portion
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """One trainer in this process in place of Ray's, and a clock that goes on by a twentieth when it is looked at."""
    now = count()
    clock = SimpleNamespace(monotonic=lambda: next(now) / 20)
    for module in (automl, automl_question, automl_search):
        monkeypatch.setattr(module, "time", clock)

    def pool(fold: Fold, options: AutoMLOptions, settings: Settings, portions: Sequence[Portion]) -> LocalPool:
        return LocalPool(fold, portions)

    monkeypatch.setattr(automl_search, "_ray_pool", pool)


@pytest.fixture
def options(tracked: Settings) -> AutoMLOptions:
    return AutoMLOptions(settings=tracked, ignore=("who",), model_name="judged", experiment="tests")


def test_a_small_table_is_judged_by_nested_folds_with_a_threshold_and_a_report(
    local: None, clicks: pl.DataFrame, options: AutoMLOptions
) -> None:
    table = clicks.head(600)
    more = replace(options, ignore=("at",), threshold=Cost(1, 5), segments=("who", "a"), calibration="platt",
                   pins={"clicks:v1": 4})  # fmt: skip
    run = fit(table, label="clicked", metric="roc_auc", budget_s=8.0, groups="who", options=more)
    assert run.seconds <= 8.0 + 1.0
    found = run.evaluation
    assert (found.source, len(found.labels)) == ("nested", 600)
    assert run.model.features == ("a", "b", "c", "d", "night")  # neither the groups nor a segment of texts
    one = found.estimates["roc_auc"]
    assert 0.7 < one.low < one.value < one.high < 1.0
    assert run.metrics["roc_auc"] == one.value
    assert "card_precision_at_100" in run.metrics
    assert max(found.importance, key=lambda name: found.importance[name]) == "a"
    assert {part.column for part in found.segments} == {"who", "a"}
    assert found.calibration is not None
    assert found.threshold is not None
    assert (run.model.calibration, run.model.threshold) == (found.calibration, found.threshold.value)

    settings = more.settings or Settings.from_env()
    loaded = ModelRegistry(settings).load(f"models:/judged/{run.model.version}")
    assert (loaded.calibration, loaded.threshold) == (run.model.calibration, run.model.threshold)
    assert loaded.intervals["roc_auc"] == (one.low, one.high)
    assert loaded.profile["a"].rows == 600
    assert (loaded.origin.pins, loaded.origin.code_file) == ({"clicks:v1": 4}, "test_automl_judged.py")
    store = run_store(settings)
    assert store.artifact(run.run_id, "report.html") == run.report().html.encode()
    told = json.loads(store.artifact(run.run_id, "evaluation.json") or b"")
    assert told["estimates"]["roc_auc"]["value"] == one.value
    assert store.read(run.run_id).metrics["roc_auc"] == pytest.approx(one.value)


def test_rows_that_are_held_out_judge_and_then_teach(local: None, clicks: pl.DataFrame, options: AutoMLOptions) -> None:
    more = replace(options, track=False, test_fraction=0.2, validation_gap="50s", threshold=Capacity(10, per="1m"))
    run = fit(clicks, label="clicked", budget_s=4.0, time_column="at", options=more)
    assert run.evaluation.source == "test"
    assert run.evaluation.labels.tolist() == clicks["clicked"].cast(pl.Float64).to_list()[1600:]
    assert run.about["rows"] == 2000
    assert run.evaluation.threshold is not None
    assert 8 < run.evaluation.threshold.per_period <= 10


def test_nested_folds_keep_the_gap_of_time(local: None, clicks: pl.DataFrame, options: AutoMLOptions) -> None:
    more = replace(options, track=False, validation_gap="30s", learners=("xgboost",), calibration="none")
    run = fit(clicks.head(600), label="clicked", budget_s=6.0, time_column="at", options=more)
    assert run.evaluation.source == "nested"
    assert run.evaluation.calibration is None
    # Each fold holds out the next hundred rows; its search, and the main one, leave thirty before them alone.
    assert run.evaluation.labels.tolist() == clicks["clicked"].cast(pl.Float64).to_list()[100:600]
    assert (run.about["rows"], run.about["validation_rows"]) == (600, 120)
