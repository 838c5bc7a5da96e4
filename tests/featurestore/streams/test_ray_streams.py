"""Deployed streams: workers on Ray that start again where they were when they are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.store import FeatureStore
from eagleray.featurestore.streams.stream_status import StreamStatus
from eagleray.runtime import redis_client
from eagleray.runtime.errors import ServerUnavailable
from eagleray.runtime.settings import Settings

BEGIN_US = 1_700_000_000_000_000
SCALE = 2.0  # captured by the transform: code travels with what it refers to


@pytest.fixture
def store(valkey: Settings, ray_cluster: Settings, tmp_path: Path) -> Iterator[FeatureStore]:
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    settings = Settings(home=valkey.home, offline_uri=str(tmp_path / "offline"), catalog_url=catalog)
    redis_client.connect(settings).flushall()
    with FeatureStore(settings) as opened:
        yield opened


def clicks() -> FeatureSet:
    declared = FeatureSet(
        "clicks", [Entity("k", "int64")], "ts", {"x": "float64"}, [Aggregate("double", ["count", "sum"], ["1h"])]
    )

    @declared.transform
    def doubled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(double=pl.col("x") * SCALE)

    return declared


def rows(count: int) -> list[dict[str, object]]:
    return [{"k": n % 7, "ts": BEGIN_US + n, "x": 1.0} for n in range(count)]


def eventually(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, "it did not come about"


def counted(store: FeatureStore) -> float:
    vector = FeatureVector("v", ["clicks:*"], event_time="ts")
    asked = [{"k": k, "ts": BEGIN_US + 10_000_000} for k in range(7)]
    return float(store.get_online_features(vector, asked).to_polars()["clicks__double_sum_1h"].sum())


def test_a_deployed_stream_outlives_kills_and_is_stopped(store: FeatureStore) -> None:
    feature_set = clicks()
    store.apply(feature_set)
    [found] = store.deploy_stream(feature_set, workers=2)
    assert [worker.owner.rpartition("#")[2] for worker in found.workers] == ["0", "1"]
    store.push(feature_set, rows(100), wait=True)

    def status() -> StreamStatus:
        return store.streams.status("clicks")[0]

    eventually(lambda: len({one.owner for one in status().partitions}) == 2)
    victim = status().workers[0]
    assert victim.pid != os.getpid()
    os.kill(victim.pid, signal.SIGKILL)
    store.push(feature_set, rows(100), wait=True)
    eventually(lambda: [one.pid for one in status().workers if one.owner == victim.owner] not in ([], [victim.pid]))
    eventually(lambda: len({one.owner for one in status().partitions}) == 2)
    store.push(feature_set, rows(50), wait=True)
    assert (counted(store), status().lag_events, status().last_error) == (500.0, 0, None)
    store.deploy_stream(feature_set, workers=1)
    assert len(status().workers) == 1
    assert store.streams.stop("clicks") == 1
    assert status().workers == ()
    assert store.streams.stop("clicks") == 0
    assert store._offline.read(store.get("clicks").full_name, ["x"]).height == 250


def test_without_a_ray_that_stays_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eagleray.runtime import ray_cluster

    monkeypatch.setattr(ray_cluster, "is_up", lambda: False)
    store = FeatureStore(Settings(home=tmp_path))
    feature_set = clicks()
    store.apply(feature_set)
    with pytest.raises(ServerUnavailable, match="eagleray up"):
        store.deploy_stream(feature_set)
    store.close()
