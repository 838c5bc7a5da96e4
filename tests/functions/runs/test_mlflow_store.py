"""The file that we make is the one that MLflow would have made, and nobody's file is written over."""

from __future__ import annotations

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from eagleray.functions.runs.mlflow_store import _publish, make_store

pytestmark = pytest.mark.filterwarnings("ignore")  # what MLflow's own imports and migrations emit


def described(database: Path) -> list[tuple[object, ...]]:
    """Every table and index with the words of its definition, constraints in any order, and the revision."""
    with closing(sqlite3.connect(database)) as store:
        found = store.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        schema = [(kind, name, sorted(re.findall(r"\w+", sql or ""))) for kind, name, sql in found]
        return [*schema, *store.execute("SELECT version_num FROM alembic_version")]


def test_it_is_the_one_that_mlflow_makes(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    theirs, ours, again = (tmp_path / f"{name}.db" for name in ("theirs", "ours", "again"))
    MlflowClient(f"sqlite:///{theirs}").search_experiments()
    make_store(ours)
    make_store(again)
    assert again.read_bytes() == ours.read_bytes()
    assert described(ours) == described(theirs)
    (experiment,) = MlflowClient(f"sqlite:///{ours}").search_experiments()
    assert experiment.name == "Default"
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".db") == [
        "again.db",
        "ours.db",
        "theirs.db",
    ]
    assert list(tmp_path.glob(".mlflow-*")) == []


def test_many_that_make_it_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    seen: list[int] = []

    def makes() -> None:
        make_store(database)
        seen.append(database.stat().st_ino)

    threads = [threading.Thread(target=makes) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 3
    assert len(set(seen)) == 1, "whoever was there first stays"


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    database.write_bytes(b"somebody's")
    make_store(database)
    _publish(b"of a process that looked before it was there", database)
    assert database.read_bytes() == b"somebody's"
