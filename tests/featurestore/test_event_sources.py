"""Outside sources: Redis streams and Kafka topics (librdkafka's own mock cluster) taken over, each message once."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Producer

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.events.backlog import Gate
from eagleray.featurestore.sources.event_source import EventSource
from eagleray.featurestore.sources.open_events import open_events
from eagleray.featurestore.store import FeatureStore
from eagleray.featurestore.streams.intake import Intake
from eagleray.runtime import redis_client
from eagleray.runtime.errors import DefinitionError, EaglerayError, ServerUnavailable
from eagleray.runtime.settings import Settings

from .bench import Bench

BEGIN_US = 1_700_000_000_000_000
KEYS = 5


def clicks() -> FeatureSet:
    aggregates = [Aggregate("x", ["sum"], ["1h"])]
    return FeatureSet("clicks", [Entity("k", "int64")], "ts", {"x": "float64"}, aggregates)


class RedisWriter:
    """Another program that writes a stream."""

    def __init__(self, client: redis.Redis, address: str) -> None:
        self.client, self.stream = client, uuid.uuid4().hex
        self.address = f"{address}/{self.stream}"

    def write(self, first: int, count: int) -> None:
        for n in range(first, first + count):
            fields: dict[Any, Any] = {"k": n % KEYS, "ts": BEGIN_US + n, "x": 2}
            self.client.xadd(self.stream, fields if n % 2 else {"json": json.dumps(fields)})

    def write_rubbish(self) -> None:
        self.client.xadd(self.stream, {"json": "{"})
        self.client.xadd(self.stream, {"k": "one", "ts": str(BEGIN_US), "x": "1"})


class KafkaWriter:
    """Another program that writes a topic of four partitions."""

    def __init__(self, address: str) -> None:
        self.topic = uuid.uuid4().hex
        self.address = f"kafka://{address}/{self.topic}"
        self.producer = Producer({"bootstrap.servers": address, "log_level": 0})

    def write(self, first: int, count: int) -> None:
        for n in range(first, first + count):
            message = json.dumps({"k": n % KEYS, "ts": BEGIN_US + n, "x": 2})
            self.producer.produce(self.topic, key=str(n % 3), value=message)
        assert self.producer.flush(20) == 0

    def write_rubbish(self) -> None:
        self.producer.produce(self.topic, key="0", value=b"\xff\x00")
        self.producer.produce(self.topic, key="1", value='{"k": "one", "ts": 1, "x": 1}')
        assert self.producer.flush(20) == 0


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    """The address of a mock cluster; it lives as long as its client."""
    keeper = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0})
    broker = next(iter(keeper.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    keeper.flush(1)


@pytest.fixture(params=["redis", "kafka"])
def writer(request: pytest.FixtureRequest) -> Iterator[RedisWriter | KafkaWriter]:
    if request.param == "kafka":
        yield KafkaWriter(request.getfixturevalue("kafka"))
        return
    settings: Settings = request.getfixturevalue("redis_server")
    assert settings.redis_url is not None
    with redis_client.connect(settings) as client:
        yield RedisWriter(client, settings.redis_url)


def opened(writer: RedisWriter | KafkaWriter) -> EventSource:
    return open_events(writer.address, clicks().input_schema)


def eventually(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline, "it did not come about"


def logged(bench: Bench) -> int:
    return sum(held.events for held in bench.stores.log.held().values())


def total(bench: Bench) -> float:
    bench.stream([])
    return sum(
        float(str(bench.both({"k": k, "at": BEGIN_US + 3_000_000_000})["clicks__x_sum_1h"])) for k in range(KEYS)
    )


def intake(bench: Bench, source: EventSource) -> Intake:
    gate = Gate(bench.stores.log, name="clicks")
    return Intake(bench.feature_set, bench.applied, bench.stores, source, gate=gate, now_us=lambda: 2**60, ttl_ms=2000)


def test_each_message_is_taken_once_whoever_takes_it(writer: RedisWriter | KafkaWriter) -> None:
    bench = Bench(clicks())
    writer.write(0, 40)
    one = intake(bench, opened(writer))
    eventually(lambda: logged(bench) == 40)
    two = intake(bench, opened(writer))
    writer.write(40, 40)
    eventually(lambda: logged(bench) == 80)
    one.close()
    writer.write_rubbish()
    writer.write(80, 20)
    eventually(lambda: logged(bench) == 100)
    eventually(lambda: bench.stores.log.buried_count() == 2)
    two.close()
    assert total(bench) == 200.0
    assert (one.last_error, two.last_error) == (None, None)
    third = intake(bench, opened(writer))
    writer.write(100, 1)
    eventually(lambda: logged(bench) == 1)
    third.close()
    assert total(bench) == 202.0


def test_one_that_believes_what_was_long_ago_takes_nothing_twice(writer: RedisWriter | KafkaWriter) -> None:
    bench = Bench(clicks())
    writer.write(0, 50)
    one = intake(bench, opened(writer))
    eventually(lambda: logged(bench) == 50)
    one.close()
    behind = intake(bench, opened(writer))
    stale = {part: dict.fromkeys(range(2), -1) for part in opened(writer).parts()}
    behind._at = dict(stale)  # it looks at old messages only
    eventually(lambda: behind._at != stale)
    behind._at = dict(stale)
    writer.write(50, 10)  # and at old ones with new ones behind them
    eventually(lambda: logged(bench) == 60)
    behind.close()
    assert logged(bench) == 60
    assert total(bench) == 120.0


def test_a_store_streams_from_a_source(writer: RedisWriter | KafkaWriter, valkey: Settings, tmp_path: Path) -> None:
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    settings = Settings(home=valkey.home, offline_uri=str(tmp_path / "offline"), catalog_url=catalog)
    feature_set = clicks()
    with FeatureStore(settings) as store:
        store.apply(feature_set)
        writer.write(0, 30)
        with store.stream(feature_set, source=writer.address) as stream:
            eventually(lambda: stream.events == 30)
        writer.write(30, 10)
        with store.stream(feature_set, source=writer.address) as stream:
            eventually(lambda: stream.events == 10)
        assert store._offline.read(store.get("clicks").full_name, ["x"]).height == 40


@pytest.mark.parametrize(
    ("address", "error", "reason"),
    [
        ("redis://127.0.0.1:6379", DefinitionError, "write redis://HOST:PORT/STREAM"),
        ("kafka://127.0.0.1:9092", DefinitionError, "write kafka://HOST:PORT/TOPIC"),
        ("amqp://127.0.0.1/q", DefinitionError, "redis://HOST:PORT/STREAM or kafka://"),
        ("redis://user:secret@127.0.0.1:1/s", ServerUnavailable, "cannot reach"),
        ("kafka://127.0.0.1:9092/t?no.such.setting=1", DefinitionError, "No such configuration property"),
    ],
)
def test_a_wrong_address_is_one_clear_line(address: str, error: type[EaglerayError], reason: str) -> None:
    with pytest.raises(error, match=reason) as caught:
        open_events(address, {"x": "float64"})
    assert "secret" not in str(caught.value)
