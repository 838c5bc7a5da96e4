"""Streams that share a set's partitions: nothing is lost or counted twice, whoever comes, goes or dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.events.backlog import Bound
from eagleray.featurestore.store import FeatureStore
from eagleray.featurestore.streams.stream import Stream
from eagleray.runtime import redis_client
from eagleray.runtime.errors import DefinitionError, LogFull
from eagleray.runtime.settings import Settings

from ..bench import Bench

HOUR_US = 3_600_000_000
BEGIN_US = 400_000 * HOUR_US
KEYS = 20


def clicks() -> FeatureSet:
    aggregates = [Aggregate("x", ["count", "sum"], ["1h"])]
    return FeatureSet("clicks", [Entity("k", "int64")], "ts", {"x": "float64"}, aggregates)


def rows(first: int, count: int) -> list[dict[str, object]]:
    return [{"k": n % KEYS, "ts": BEGIN_US + n, "x": 1.0} for n in range(first, first + count)]


def eventually(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline, "it did not come about"


def total(bench: Bench) -> float:
    """What all keys count together, online and offline alike."""
    asked = [{"k": k, "at": BEGIN_US + HOUR_US // 2} for k in range(KEYS)]
    online, offline = bench.online(asked), bench.offline(asked)
    assert online.equals(offline)
    return float(online["clicks__x_sum_1h"].sum())


def test_streams_that_come_and_go_share_the_partitions() -> None:
    bench = Bench(clicks())
    one = Stream(bench.feature_set, bench.applied, bench.stores, ttl_ms=2000)
    assert one.partitions == (0, 1)
    bench.append(rows(0, 100))
    two = Stream(bench.feature_set, bench.applied, bench.stores, ttl_ms=2000)
    eventually(lambda: len(one.partitions) == len(two.partitions) == 1)
    bench.append(rows(100, 100))
    ends = bench.stores.log.ends()
    one.wait_for(ends)
    two.wait_for(ends)
    one.close()
    eventually(lambda: two.partitions == (0, 1))
    bench.append(rows(200, 100))
    two.close()
    assert one.events + two.events == 300
    assert total(bench) == 300


def test_an_error_is_shown_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(clicks())
    stream = Stream(bench.feature_set, bench.applied, bench.stores)
    with monkeypatch.context() as broken:
        broken.setattr(bench.stores.log, "read", lambda *_, **__: 1 / 0)
        eventually(lambda: stream.last_error == "ZeroDivisionError: division by zero")
    bench.append(rows(0, 10))
    stream.wait_for(bench.stores.log.ends())
    eventually(lambda: stream.last_error is None)
    stream.close()
    assert total(bench) == 10


def test_what_keeps_it_from_closing_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(clicks())
    stream = Stream(bench.feature_set, bench.applied, bench.stores)
    monkeypatch.setattr(bench.stores.offline, "append", lambda *_, **__: 1 / 0)
    bench.append(rows(0, 10))
    with pytest.raises(ZeroDivisionError):
        stream.close(timeout_s=0)


@pytest.fixture
def store(valkey: Settings, tmp_path: Path) -> Iterator[FeatureStore]:
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    settings = Settings(home=valkey.home, offline_uri=str(tmp_path / "offline"), catalog_url=catalog)
    redis_client.connect(settings).flushall()
    with FeatureStore(settings) as opened:
        yield opened


def counted(store: FeatureStore) -> float:
    asked = pl.DataFrame({"k": range(KEYS), "ts": [BEGIN_US + HOUR_US // 2] * KEYS})
    vector = FeatureVector("v", ["clicks:*"], event_time="ts")
    moments = asked.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    offline = store.get_historical_features(vector, moments).to_polars()
    online = store.get_online_features(vector, asked.to_dicts()).to_polars()
    assert online.equals(offline.select(online.columns))
    return float(online["clicks__x_sum_1h"].sum())


def test_stores_of_several_programs_share_a_stream(store: FeatureStore) -> None:
    feature_set = clicks()
    store.apply(feature_set)
    other = FeatureStore(store.settings)
    with store.stream(feature_set) as one, other.stream(feature_set) as two:
        eventually(lambda: len(one.partitions) == len(two.partitions) == 2)
        store.push(feature_set, rows(0, 50), wait=True)
        other.push(feature_set, rows(50, 50), wait=True)
    other.close()
    assert (one.events + two.events, counted(store)) == (100, 100)


def test_a_batch_ingestion_takes_the_partitions_from_a_stream_and_gives_them_back(store: FeatureStore) -> None:
    feature_set = clicks()
    store.apply(feature_set)
    other = FeatureStore(store.settings)
    with store.stream(feature_set):
        store.push(feature_set, rows(0, 20), wait=True)
        other.ingest(feature_set, rows(20, 1000))
        store.push(feature_set, rows(1020, 20), wait=True)
    other.close()
    assert counted(store) == 1040


def test_a_new_version_beside_a_running_stream_has_a_log_of_its_own(store: FeatureStore) -> None:
    feature_set = clicks()
    store.apply(feature_set)
    with store.stream(feature_set):
        store.push(feature_set, rows(0, 20), wait=True)
        changed = FeatureSet("clicks", [Entity("k", "int64")], "ts", {"x": "float64", "y": "int64"})
        store.apply(changed)
        store.push(changed, [{"k": 1, "ts": BEGIN_US, "x": 1.0, "y": 7}], wait=True)
        with pytest.raises(DefinitionError, match="has changed since version 2"):
            store.push(feature_set, rows(0, 1))
    features = FeatureVector("v", ["clicks:y"])
    assert store.get_online_features(features, [{"k": 1}])["clicks__y"].to_list() == [7]


def test_the_number_of_partitions_is_chosen_once(store: FeatureStore) -> None:
    feature_set = clicks()
    store.apply(feature_set, partitions=7)
    with FeatureStore(store.settings) as other, other.stream(feature_set) as stream:
        assert stream.partitions == tuple(range(7))
    with pytest.raises(DefinitionError, match=r"clicks\.v1 has 7 partitions already"):
        store.apply(feature_set, partitions=2)


def test_a_push_to_a_full_log_is_refused_until_a_stream_has_made_room(store: FeatureStore) -> None:
    feature_set = clicks()
    store.apply(feature_set, partitions=1)
    store.streams.bound = Bound(events=50)
    assert store.push(feature_set, rows(0, 60)) == 60
    with pytest.raises(LogFull, match=r"clicks\.v1: partition 0 of the log is full \(60 events\)") as refused:
        store.push(feature_set, rows(60, 10), patience_s=0)
    assert refused.value.retry_after_s > 0
    with store.stream(feature_set):
        assert store.push(feature_set, rows(60, 10), patience_s=20) == 10
    assert counted(store) == 70
