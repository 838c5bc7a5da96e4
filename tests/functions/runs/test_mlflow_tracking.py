"""Runs in MLflow's SQLite store, read back through our port and through MLflow itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eagleray.functions.runs.run import Run
from eagleray.functions.runs.tracking import tracker
from eagleray.runtime.errors import NotFoundError, ServerUnavailable, StorageError
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)

RUN = Run(
    experiment="tracking", name="first", params={"depth": 3, "kind": "x"}, metrics={"roc_auc": 0.9},
    tags={"team": "risk"}, artifacts={"notes.txt": b"hello", "plots/roc.bin": b"\x00"},
)  # fmt: skip


def test_a_run_comes_back_with_what_was_logged(tracked: Settings) -> None:
    logged = tracker(tracked).log(RUN)
    found = tracker(tracked).read(logged.id)
    assert (found.experiment, found.name, found.metrics, found.tags) == ("tracking", "first", RUN.metrics, RUN.tags)
    assert found.params == {"depth": "3", "kind": "x"}
    from mlflow import MlflowClient

    client = MlflowClient(tracked.tracking)
    info = client.get_run(logged.id).info
    assert info.status == "FINISHED"
    root = Path(info.artifact_uri.removeprefix("file://"))
    assert root.is_relative_to(tracked.home / "artifacts")
    assert (root / "notes.txt").read_bytes() == b"hello"
    assert (root / "plots" / "roc.bin").read_bytes() == b"\x00"


def test_a_folder_joins_the_runs_artifacts_and_becomes_a_version(tracked: Settings, tmp_path: Path) -> None:
    one = tracker(tracked)
    run_id = one.log(RUN).id
    (tmp_path / "model.json").write_text("{}")
    one.add_folder(run_id, tmp_path, to="model")
    made = one.add_version("track-me", run_id=run_id, folder="model")
    assert (made.version, made.run_id) == ("1", run_id)
    one.set_alias("track-me", version="1", alias="champion")
    (found,) = one.versions("track-me")
    assert found.aliases == ("champion",)
    assert (one.fetch(found) / "model.json").read_text() == "{}"
    assert one.versions("nobody") == []


def test_an_unknown_run_is_not_found(tracked: Settings) -> None:
    with pytest.raises(NotFoundError, match="nothere"):
        tracker(tracked).read("nothere")


def test_a_tracking_server_that_is_down_is_one_line(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, tracking_uri="http://127.0.0.1:9")
    with pytest.raises(ServerUnavailable, match=r"MLflow at http://127.0.0.1:9 .*MLFLOW_TRACKING_URI") as caught:
        tracker(settings).warm_up()
    assert "\n" not in str(caught.value)


def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write to"):
        tracker(Settings(home=tmp_path / "file" / "home")).warm_up()


def test_a_new_store_says_nothing_on_the_terminal(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from eagleray.functions.runs.run import Run; "
        "from eagleray.functions.runs.tracking import tracker; "
        "from eagleray.runtime.settings import Settings; assert 'mlflow' not in sys.modules; "
        f"tracker(Settings(home=pathlib.Path({str(tmp_path)!r}))).log(Run(experiment='quiet'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
