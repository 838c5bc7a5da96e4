"""`eagleray features streams` and the replay of dead letters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eagleray.cli import app
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime import redis_client
from eagleray.runtime.settings import Settings
from eagleray.runtime.user_module import module_at

DECLARED = """
from eagleray import Entity, FeatureSet, Rule
import polars as pl

people = FeatureSet("people", [Entity("id", "int64")], "ts", {"age": "string"}, rules=[Rule("id").between(0, 9)])

@people.transform
def parsed(frame):
    return frame.with_columns(years=pl.col("age").cast(pl.Int64))
"""


@pytest.fixture
def store(valkey: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeatureStore]:
    monkeypatch.setenv("EAGLERAY_HOME", str(valkey.home))
    monkeypatch.setenv("EAGLERAY_OFFLINE_URI", str(tmp_path / "offline"))
    monkeypatch.setenv("EAGLERAY_CATALOG_URL", f"sqlite:///{tmp_path / 'catalog.db'}")
    (tmp_path / "people.py").write_text(DECLARED)
    settings = Settings.from_env()
    redis_client.connect(settings).flushall()
    with FeatureStore(settings) as opened:
        yield opened


def told(*words: str) -> str:
    found = CliRunner().invoke(app, ["features", *words])
    assert found.exit_code == 0, found.output
    return found.output


def test_streams_and_dead_letters_from_the_shell(store: FeatureStore, tmp_path: Path) -> None:
    people = module_at(str(tmp_path / "people.py")).people
    store.apply(people)
    moment = "2026-01-01T00:00:00Z"
    with store.stream(people):
        store.push(people, [{"id": 1, "ts": moment, "age": "33"}, {"id": 2, "ts": moment, "age": "old"}], wait=True)
        [row] = json.loads(told("streams", "list", "--json"))
        assert (row["set"], row["workers"], row["owned"], row["lag_events"]) == ("people.v1", 1, "4/4", 0)
    store.push(people, [{"id": 3, "ts": moment, "age": "7"}, {"id": 11, "ts": moment, "age": "7"}])
    shown = json.loads(told("streams", "show", "people", "--json"))
    assert (shown["lag_events"], shown["owned"], shown["workers"]) == (1, "0/4", {})
    metrics = told("streams", "metrics")
    assert 'eagleray_stream_dead_letters{set="people.v1"} 2' in metrics
    assert sum(map(int, re.findall(r"^eagleray_stream_lag_events{.*} (\d+)$", metrics, re.MULTILINE))) == 1
    letters = json.loads(told("dead-letters", "people", "--json"))
    assert [(json.loads(one["row"])["id"], one["at"] == "") for one in letters] == [(11, True), (2, False)]
    assert "conversion" in letters[1]["reason"]


def test_dead_letters_are_pushed_again_after_a_cure(store: FeatureStore, tmp_path: Path) -> None:
    people = module_at(str(tmp_path / "people.py")).people
    store.apply(people)
    store.push(people, [{"id": 1, "ts": "2026-01-01T00:00:00Z", "age": "forty"}], wait=True)
    declared = (tmp_path / "people.py").read_text()
    (tmp_path / "people.py").write_text(declared.replace('pl.col("age")', 'pl.col("age").replace("forty", "40")'))
    cured = module_at(str(tmp_path / "people.py")).people
    assert store.streams.replay(people) == 1  # no cure yet: it comes back
    with store.stream(people):
        pass
    assert len(store.dead_letters("people")) == 1
    store.apply(cured)
    assert store.streams.replay(cured) == 1
    assert store.streams.replay(cured) == 0
    with store.stream(cured):
        pass
    reader = store.vector_reader(FeatureVector("v", ["people:years"]))
    assert reader.get([{"id": 1}]).to_rows()[0]["people__years"] == 40


def test_a_wrong_target_is_one_clear_line(store: FeatureStore, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["features", "streams", "start", f"{tmp_path / 'people.py'}:persons"])
    assert "known: people" in str(found.exception)
    found = CliRunner().invoke(app, ["features", "streams", "start", "people"])
    assert "write FILE:SET" in str(found.exception)
