"""Derived sets: what another set holds, seen by other entities; every event once, whatever dies in between."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.rules import Rule
from eagleray.featurestore.events.redis_log import RedisLog
from eagleray.featurestore.offline.delta_offline import DeltaOfflineStore
from eagleray.featurestore.online.redis_online import RedisOnlineStore
from eagleray.featurestore.store import FeatureStore
from eagleray.featurestore.streams.relay import End, Relay
from eagleray.featurestore.streams.worker import Stores
from eagleray.runtime import redis_client
from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.settings import Settings

from ..bench import FAR_FUTURE_US, Bench, memory_stores, same_bits

MINUTE_US = 60_000_000
BEGIN_US = 1_772_409_600_000_000
SHOPS = ("bakery", "books", None, "garage")


def payments(name: str = "payments") -> FeatureSet:
    made = FeatureSet(name, [Entity("card", "int64")], "ts", {"amount": "float64", "shop": "string"})

    @made.transform
    def doubled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(double=pl.col("amount") * 2)

    return made


def shops(source: FeatureSet | None, name: str = "shops") -> FeatureSet:
    aggregates = [Aggregate("double", ["sum", "last", "distinct"], ["1h"]), Aggregate("card", ["distinct"], ["1h"])]
    rules = [Rule("double").between(0, 1e6)]
    columns = {"card": "int64", "double": "float64"}
    return FeatureSet(name, [Entity("shop")], "ts", columns, aggregates, rules=rules, source=source)


def rows(first: int, last: int) -> list[dict[str, object]]:
    """Payments, some of no shop, one that breaks the derived set's rule."""
    return [
        {
            "card": n % 7,
            "ts": BEGIN_US + n * MINUTE_US // 4,
            "amount": float(n if n != 13 else -1),
            "shop": SHOPS[n % 4],
        }
        for n in range(first, last)
    ]


@pytest.fixture(params=["memory", "valkey"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Bench, Bench]]:
    """A set and one derived from it."""
    if request.param == "memory":
        source = payments()
        yield Bench(source, memory_stores(2)), Bench(shops(source), memory_stores(3))
        return
    settings: Settings = request.getfixturevalue(request.param)
    names = [f"{kind}{uuid.uuid4().hex}" for kind in ("payments", "shops")]
    source = payments(names[0])
    with redis_client.connect(settings) as client:
        stores = [
            Stores(
                online=RedisOnlineStore(client, settings),
                offline=DeltaOfflineStore(str(tmp_path)),
                log=RedisLog(client, settings, name=name, partitions=partitions),
            )
            for name, partitions in zip(names, (2, 3), strict=True)
        ]
        yield Bench(source, stores[0]), Bench(shops(source, names[1]), stores[1])


def relay(two: tuple[Bench, Bench]) -> Relay:
    """A new relay, as after a crash of the one before."""
    ends = [End(bench.feature_set, bench.applied, bench.stores) for bench in two]
    return Relay(*ends, now_us=lambda: FAR_FUTURE_US)


def answers(bench: Bench) -> pl.DataFrame:
    """What is served for every shop, checked against its own training set."""
    bench.stream([])
    asked = [{"shop": shop, "at": BEGIN_US + 30 * MINUTE_US} for shop in ("bakery", "books", "garage", "nowhere")]
    online, offline = bench.online(asked), bench.offline(asked)
    assert same_bits(online, offline)
    return online.rename(lambda column: column.partition("__")[2])


def expected(count: int) -> pl.DataFrame:
    """The same set, given its rows by hand."""
    bench = Bench(replace(shops(None), schema={"card": "int64", "double": "float64"}), memory_stores(1))
    given = [{**row, "double": row["amount"] * 2} for row in rows(0, count) if row["shop"] is not None]  # type: ignore[operator]
    bench.stream(given)
    return answers(bench)


def test_events_come_through_as_they_are_pushed(two: tuple[Bench, Bench]) -> None:
    source, derived = two
    through = relay(two)
    for first in range(0, 100, 25):
        source.append(rows(first, first + 25))
        through.drain()
    assert same_bits(answers(derived), expected(100))
    assert [letter.reason for letter in derived.stores.log.buried()] == ["double is not between 0 and 1e+06"]


def test_a_set_derived_late_catches_up_from_the_table_and_goes_on_with_the_log(two: tuple[Bench, Bench]) -> None:
    source, derived = two
    source.stream(rows(0, 60))  # stored, and trimmed from the log
    source.append(rows(60, 80))
    through = relay(two)
    through.drain()
    source.append(rows(80, 100))
    through.drain()
    assert same_bits(answers(derived), expected(100))


def test_relays_that_die_and_meet_neither_lose_nor_double(two: tuple[Bench, Bench]) -> None:
    source, derived = two
    zombie = relay(two)
    for first in range(0, 100, 20):
        source.append(rows(first, first + 20))
        for each in (relay(two), zombie) if first % 40 else (zombie, relay(two)):
            each.drain()
    zombie.drain()
    assert same_bits(answers(derived), expected(100))


def test_a_server_that_forgot_how_far_it_was_is_told_by_the_table(two: tuple[Bench, Bench]) -> None:
    source, derived = two
    source.append(rows(0, 50))
    relay(two).drain()
    derived.stream([])
    log = derived.stores.log
    if isinstance(log, RedisLog):
        for partition in range(3):
            for key in log._client.keys(f"er:relayed:*{{{log._name}:{partition}}}"):
                log._client.delete(key)
    else:
        log._relayed.clear()  # type: ignore[attr-defined]
    source.append(rows(50, 100))
    relay(two).drain()
    assert same_bits(answers(derived), expected(100))


def both(store: FeatureStore) -> tuple[FeatureSet, FeatureSet]:
    """Applied as a user would."""
    source = payments()
    derived = shops(source)
    store.apply(source)
    store.apply(derived)
    return source, derived


def served(store: FeatureStore) -> list[float]:
    asked = [{"shop": shop, "at": BEGIN_US + 30 * MINUTE_US} for shop in ("bakery", "books", "garage")]
    vector = FeatureVector("v", ["shops:double_sum_1h"], event_time="at")
    return store.get_online_features(vector, asked).to_polars()["shops__double_sum_1h"].to_list()


SUMS = expected(100)["double_sum_1h"].to_list()[:3]


def test_whoever_waits_for_the_source_has_the_derived_set_too(tmp_path: Path) -> None:
    with FeatureStore(Settings(home=tmp_path)) as store:
        source, derived = both(store)
        store.ingest(source, rows(0, 50))
        store.push(source, rows(50, 100), wait=True)
        assert served(store) == SUMS
        assert store.update(derived) == 0
        with pytest.raises(DefinitionError, match="give payments the events"):
            store.push(derived, rows(0, 1))
        with pytest.raises(DefinitionError, match="derived from no other set"):
            store.update(source)


def test_a_stream_of_the_derived_set_feeds_itself(tmp_path: Path) -> None:
    with FeatureStore(Settings(home=tmp_path)) as store:
        source, derived = both(store)
        with store.stream(source), store.stream(derived):
            store.push(source, rows(0, 50))
            store.push(source, rows(50, 100), wait=True)
            assert served(store) == SUMS
        with FeatureStore(store.settings) as other:  # one that has not applied it goes by its stream alone
            other.push(source, rows(100, 104), wait=True)
            with other.stream(derived):
                pass
            assert served(other) != SUMS
