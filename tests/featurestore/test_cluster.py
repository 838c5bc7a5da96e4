"""The online store on a real cluster of three: slots that move, shards that are gone, features of several sets."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import redis
from redis.crc import key_slot

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.events.leases import lease_name
from eagleray.featurestore.events.log import MemoryLog
from eagleray.featurestore.offline.offline import MemoryOfflineStore
from eagleray.featurestore.online.redis_cluster_online import RedisClusterOnlineStore
from eagleray.featurestore.online.redis_open_online import open_online
from eagleray.featurestore.store import FeatureStore
from eagleray.featurestore.streams.worker import Stores
from eagleray.runtime.errors import ServerUnavailable
from eagleray.runtime.settings import Settings

from . import cluster
from .bench import Bench


def value(offset: int) -> bytes:
    return b"\x02" + offset.to_bytes(8, "big")


def test_a_feature_set_lives_on_all_shards(valkey_cluster: Settings) -> None:
    online = open_online(valkey_cluster)
    assert isinstance(online, RedisClusterOnlineStore)
    bench = Bench(
        FeatureSet(f"f{uuid.uuid4().hex}", [Entity("k", "int64")], "ts", {"x": "float64"}),
        Stores(online=online, offline=MemoryOfflineStore(), log=MemoryLog(2)),
    )
    bench.stream([{"k": k, "ts": k, "x": float(k)} for k in range(300)])
    found = bench.online([{"k": k, "at": 1000} for k in range(301)])
    assert found.to_series().to_list() == [*map(float, range(300)), None]
    online.close()


def test_a_slot_that_has_moved_is_found(valkey_cluster: Settings) -> None:
    online = open_online(valkey_cluster)
    assert isinstance(online, RedisClusterOnlineStore)
    key = b"{%b}" % uuid.uuid4().bytes
    others = [b"{%b}" % uuid.uuid4().bytes for _ in range(50)]
    lease = online.lease(lease_name(uuid.uuid4().hex, 0))
    online.write([(name, value(1)) for name in others], lease=lease)
    # The slot holds no key yet, so telling its nodes moves it; the store has not heard of it.
    nodes = online._client.get_primaries()
    source = online._client.get_node_from_key(key)
    clients = {node.name: online._client.get_redis_connection(node) for node in nodes}
    target = next(name for name in clients if name != source.name)
    owner = clients[target].execute_command("CLUSTER MYID").decode()
    for name in (target, source.name):
        clients[name].execute_command("CLUSTER SETSLOT", key_slot(key), "NODE", owner)
    with pytest.raises(redis.exceptions.MovedError):
        clients[source.name].get(key)
    online.write([(name, value(2)) for name in (key, *others)], lease=lease)
    assert online.read([key, *others]) == [value(2)] * 51
    online.close()


def test_a_cluster_that_is_gone_is_one_clear_error(tmp_path: Path, ends_with_us: Callable[[int], None]) -> None:
    with cluster.running(tmp_path, ends_with_us, nodes=1) as ports:
        settings = Settings(home=tmp_path, redis_url=f"redis://127.0.0.1:{ports[0]}")
        online = open_online(settings)
        lease = online.lease(lease_name("x", 0))
        online.write([(b"a", value(1))], lease=lease)
    with pytest.raises(ServerUnavailable, match="EAGLERAY_REDIS_URL"):
        online.read([b"a"])
    with pytest.raises(ServerUnavailable, match="EAGLERAY_REDIS_URL"):
        online.write([(b"a", value(2))], lease=lease)
    online.close()


def test_every_shard_is_asked_once(valkey_cluster: Settings) -> None:
    online = open_online(valkey_cluster)
    assert isinstance(online, RedisClusterOnlineStore)
    keys = [b"{%b}" % uuid.uuid4().bytes for _ in range(200)]
    online.write([(key, value(1)) for key in keys], lease=online.lease(uuid.uuid4().hex))

    def sent() -> list[int]:
        ports = [node.port for node in online._client.get_primaries()]
        counts = []
        for port in ports:
            with redis.Redis(port=port) as client:
                counts.append(int(client.info("stats")["total_reads_processed"]))
        return counts

    online.read(keys)
    before = sent()
    online.read(keys)
    # Asking for the statistics takes some reads itself; 200 keys in so few more are one batch a shard.
    assert all(after - first < 20 for first, after in zip(before, sent(), strict=True))
    online.close()


def test_a_store_keeps_its_online_features_on_a_cluster(
    valkey: Settings, valkey_cluster: Settings, tmp_path: Path
) -> None:
    settings = Settings(
        home=valkey.home,
        offline_uri=str(tmp_path / "offline"),
        catalog_url=f"sqlite:///{tmp_path / 'catalog.db'}",
        online_url=valkey_cluster.redis_url,
    )
    feature_set = FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}, [Aggregate("x", ["sum"], ["1h"])])
    with FeatureStore(settings) as store:
        store.apply(feature_set)
        store.ingest(feature_set, pl.DataFrame({"k": [f"k{at}" for at in range(40)], "ts": range(40), "x": [1.0] * 40}))
        with store.stream(feature_set):
            store.push(feature_set, [{"k": f"k{at}", "ts": 50, "x": 2.0} for at in range(20)], wait=True)
        asked: dict[str, list[object]] = {"k": [f"k{at}" for at in range(41)], "ts": [100] * 41}
        found = store.get_online_features(FeatureVector("v", ["f:*"], event_time="ts"), asked)
    assert found["f__x_sum_1h"].to_list() == [3.0] * 20 + [1.0] * 20 + [0.0]
