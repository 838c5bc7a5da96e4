"""The quick list of runs says what MLflow says, and leaves what it does not know to MLflow."""

from __future__ import annotations

import math
import shutil
import sqlite3
from pathlib import Path

import pytest

from eagleray.functions.runs.run import Run
from eagleray.functions.runs.sqlite_runs import recent
from eagleray.functions.runs.tracking import run_store
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)


def plain(runs: list[Run]) -> list[str]:
    """As texts, for nan is unlike itself."""
    return [repr(run) for run in sorted(runs, key=lambda run: run.id)]


def test_it_says_what_mlflow_says(tracked: Settings) -> None:
    store, database = run_store(tracked), tracked.home / "mlflow.db"
    first = store.open(Run("quick", "first"))
    store.write(first, Run("quick", params={"x": 1}, metrics={"auc": 0.5}, tags={"kind": "a"}))
    store.write(first, Run("quick", metrics={"auc": 0.25, "loss": math.nan}))
    store.end(first, "FAILED")
    second = store.open(Run("quick", parent=first))
    known = store.find(experiment="quick")
    found = recent(database, experiment="quick")
    assert found is not None
    assert plain(found) == plain(known)
    assert {run.id: run.parent for run in found} == {first: "", second: first}
    assert math.isnan(next(run for run in found if run.id == first).metrics["loss"])
    everything = recent(database)
    assert everything is not None
    assert plain(everything) == plain(store.find())
    assert len(recent(database, limit=1) or []) == 1
    assert recent(database, experiment="nobody's") is None


def test_another_revision_is_left_to_mlflow(tracked: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    shutil.copy(tracked.home / "mlflow.db", other)
    with sqlite3.connect(other) as store:
        store.execute("UPDATE alembic_version SET version_num = 'newer'")
    store.close()
    assert recent(other) is None
    assert recent(tmp_path / "nothing.db") is None
