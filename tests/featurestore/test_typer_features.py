"""`eagleray features`: audit, erase and compact as a shell meets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.offline.vector_log import vectors_table
from eagleray.featurestore.store import FeatureStore
from eagleray.featurestore.typer_features import app
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

USERS = FeatureSet("users", [Entity("id", "int64")], "ts", {"age": "int64"})
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def store(valkey: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeatureStore]:
    """The store that the environment describes, with five users in it."""
    monkeypatch.setenv("EAGLERAY_HOME", str(valkey.home))
    monkeypatch.setenv("EAGLERAY_OFFLINE_URI", str(tmp_path / "offline"))
    monkeypatch.setenv("EAGLERAY_CATALOG_URL", f"sqlite:///{tmp_path / 'catalog.db'}")
    with FeatureStore.from_env() as opened:
        opened.apply(USERS)
        for place in range(5):
            opened.push(USERS, [{"id": place, "ts": NOON, "age": 30 + place}], wait=True)
        yield opened


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_compact(store: FeatureStore) -> None:
    code, printed = run("compact", "users", "--json")
    assert (code, json.loads(printed)) == (0, {"files_before": 5, "files_after": 1})


def test_audit_passes_and_fails(store: FeatureStore) -> None:
    reader = store.vector_reader(FeatureVector("v", ["users:age"]), log_sample=1.0)
    reader.get([{"id": place} for place in range(6)])
    assert store.audit().checked == 6
    code, printed = run("audit", "--json", "--since", "2020-01-01")
    assert (code, json.loads(printed)["equal"]) == (0, 6)
    table = vectors_table(store.get("users").namespace)
    wrong = store._offline.read(table, ["*"])[:1].with_columns(answered=pl.lit("[99]"))
    store._offline.append(table, wrong, last_offsets={})
    code, printed = run("audit", "--json", "--most", "100")
    assert (code, json.loads(printed)["different"]) == (1, 1)


def test_erase(store: FeatureStore) -> None:
    code, printed = run("erase", "id=3", "--reason", "request 12", "--by", "dpo", "--yes", "--json")
    (record,) = json.loads(printed)
    assert (code, record["feature_set"], record["events"], record["online"]) == (0, "users", 1, 1)
    asked = [{"id": place} for place in (2, 3)]
    vector = FeatureVector("v", ["users:age"])
    assert store.get_online_features(vector, asked).to_dict() == {"users__age": [32, None]}
    assert run("erase", "id=3", "--reason", "again")[0] == 1, "without --yes it asks"
    for wrong, message in (("id", "write NAME=VALUE"), ("id=x", "'x' is no whole number")):
        with pytest.raises(InputError, match=message):
            run("erase", wrong, "--reason", "r", "--yes")
