"""Erasing an entity: gone from every place it was kept in, for good, with a record that does not name it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.rules import Rule
from eagleray.featurestore.offline.erasure import ErasureBook
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import FeatureSetNotFound, InputError
from eagleray.runtime.settings import Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = "card-no-4711"
CARDS = FeatureSet(
    "cards",
    [Entity("card")],
    "ts",
    {"amount": "float64"},
    [Aggregate("amount", ["count", "sum"], ["1d"])],
    rules=[Rule("amount").between(0, 100)],
)
VISITS = FeatureSet("visits", [Entity("shop", "int64"), Entity("card")], "ts", {"paid": "float64"})
SHOPS = FeatureSet("shops", [Entity("shop", "int64")], "ts", {"open": "bool"})
VECTOR = FeatureVector("v", ["cards:*", "visits:paid"], event_time="ts")
ASKED = [{"card": card, "shop": 1, "ts": NOON + timedelta(hours=1)} for card in (SECRET, "other")]


def payments(*minutes: int) -> list[dict[str, object]]:
    return [
        {"card": card, "ts": NOON + timedelta(minutes=minute), "amount": 1.0}
        for minute in minutes
        for card in (SECRET, "other")
    ]


def visits(*minutes: int) -> list[dict[str, object]]:
    return [
        {"card": card, "shop": shop, "ts": NOON + timedelta(minutes=minute), "paid": 2.0}
        for minute in minutes
        for card in (SECRET, "other")
        for shop in (1, 2)
    ]


@pytest.fixture
def store(valkey: Settings, tmp_path: Path) -> Iterator[FeatureStore]:
    """A store on the shared server with a catalog and tables of its own."""
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    with FeatureStore(Settings(home=valkey.home, offline_uri=str(tmp_path / "offline"), catalog_url=catalog)) as opened:
        for feature_set in (CARDS, VISITS, SHOPS):
            opened.apply(feature_set)
        yield opened


def counts(store: FeatureStore) -> tuple[list[object], list[object]]:
    """What is known of the two cards online and offline: payments in a day, the last visit's price."""
    columns = ["cards__amount_count_1d", "visits__paid"]
    online = store.get_online_features(VECTOR, ASKED).to_polars().select(columns)
    offline = store.get_historical_features(VECTOR, pl.DataFrame(ASKED)).to_polars().select(columns)
    return list(online.rows()), list(offline.rows())


def test_gone_from_all_sets_and_stores(store: FeatureStore, tmp_path: Path) -> None:
    store.ingest(CARDS, payments(1, 2))
    store.ingest(VISITS, visits(1))
    store.push(CARDS, payments(3), wait=True)
    store.push(CARDS, [{**payments(4)[0], "amount": 1e9}])  # breaks the rule
    store.push(CARDS, payments(5))  # waits in the log
    assert counts(store)[0] == [(3, 2.0), (3, 2.0)]
    records = store.erase(None, {"card": SECRET}, reason="request 12", by="dpo")
    assert [(r.feature_set, r.events, r.online, r.logged, r.letters, r.done) for r in records] == [
        ("cards", 3, 1, 1, 1, True),
        ("visits", 2, 2, 0, 0, True),
    ]
    assert counts(store) == ([(0, None), (3, 2.0)], [(0, None), (3, 2.0)])
    store.push(CARDS, [], wait=True)
    with store.stream(CARDS):
        pass  # works through what waited
    assert counts(store) == ([(0, None), (4, 2.0)], [(0, None), (4, 2.0)])
    assert store.dead_letters("cards") == []
    for path in (tmp_path / "offline").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    assert SECRET.encode() not in (tmp_path / "catalog.db").read_bytes()


def test_a_replay_does_not_bring_it_back_and_new_events_count(store: FeatureStore) -> None:
    store.ingest(CARDS, payments(1, 2))
    (record,) = store.erase(CARDS, {"card": SECRET}, reason="request")
    store.ingest(CARDS, payments(2, 1))
    store.push(CARDS, payments(3), wait=True)
    assert counts(store)[1] == [(0, None), (5, None)]
    after = datetime.fromtimestamp(record.at_us / 1e6 + 1, tz=UTC)
    store._now_us = lambda: record.at_us + 10_000_000
    store.push(CARDS, [{"card": SECRET, "ts": after, "amount": 1.0}], wait=True)
    asked = [{"card": SECRET, "shop": 1, "ts": after + timedelta(seconds=1)}]
    assert store.get_online_features(VECTOR, asked).to_polars()["cards__amount_count_1d"].to_list() == [1]


def test_a_stream_that_runs_meanwhile_learns_of_it(store: FeatureStore) -> None:
    with FeatureStore(store.settings) as elsewhere, elsewhere.stream(CARDS):
        store.push(CARDS, payments(1, 2), wait=True)
        store.erase("cards", {"card": SECRET}, reason="request")
        store.push(CARDS, payments(1, 2, 3), wait=True)
    assert counts(store) == ([(0, None), (5, None)], [(0, None), (5, None)])


def test_one_part_of_a_composite_key_erases_all_that_have_it(store: FeatureStore) -> None:
    store.ingest(VISITS, visits(1, 2))
    store.push(VISITS, visits(3), wait=True)
    (record,) = store.erase("visits", {"shop": 1}, reason="closed")
    assert (record.columns, record.events, record.online) == (("shop",), 6, 2)
    vector = FeatureVector("w", ["visits:paid"], event_time="ts")
    asked = [{"card": "other", "shop": shop, "ts": NOON + timedelta(hours=1)} for shop in (1, 2)]
    assert store.get_online_features(vector, asked).to_polars()["visits__paid"].to_list() == [None, 2.0]


def test_versions_that_are_no_longer_active_are_cleared_too(store: FeatureStore) -> None:
    store.ingest(CARDS, payments(1))
    pins = store.get_historical_features(VECTOR, pl.DataFrame(ASKED)).pins
    newer = FeatureSet("cards", [Entity("card")], "ts", {"amount": "float64"}, [Aggregate("amount", ["sum"], ["1h"])])
    store.apply(newer)
    assert store.erase("cards", {"card": SECRET}, reason="request")[0].events == 1
    rebuilt = store.get_historical_features(VECTOR, pl.DataFrame(ASKED), pins=pins).to_polars()
    assert rebuilt["cards__amount_count_1d"].to_list() == [0, 1], "what pins stand for is without it"


def test_the_record_says_all_but_who_it_was(store: FeatureStore) -> None:
    store.ingest(CARDS, payments(1))
    store.erase("cards", {"card": SECRET}, reason="request 12", by="dpo")
    (record,) = store.erasures("cards")
    assert (record.by, record.reason, record.columns, record.done) == ("dpo", "request 12", ("card",), True)
    assert SECRET not in str(record)
    book = ErasureBook(store._catalog)
    assert book.hash_of(CARDS.entities, {"card": SECRET}, owner="") == record.entity_hash
    assert book.hash_of(CARDS.entities, {"card": "other"}, owner="") != record.entity_hash
    assert store.erase("cards", {"card": SECRET}, reason="again")[0].events == 0
    assert "@" in store.erasures("cards")[1].by


def test_an_erasure_that_broke_off_can_be_done_again(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.ingest(CARDS, payments(1, 2))
    offline = store._offline
    with monkeypatch.context() as patch:
        patch.setattr(type(offline), "erase", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            store.erase("cards", {"card": SECRET}, reason="request")
    assert [record.done for record in store.erasures("cards")] == [False]
    assert store.erase("cards", {"card": SECRET}, reason="request")[0].events == 2
    assert counts(store)[0] == counts(store)[1] == [(0, None), (2, None)]


def test_one_that_was_killed_half_way_can_be_done_again(store: FeatureStore) -> None:
    store.ingest(CARDS, payments(1, 2))
    store.push(CARDS, payments(3))
    program = f"""
import os, signal
from pathlib import Path
from eagleray import FeatureStore, Settings
from eagleray.featurestore.offline.delta_offline import DeltaOfflineStore
DeltaOfflineStore.erase = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
home, offline, catalog = {str(store.settings.home)!r}, {store.settings.offline_uri!r}, {store.settings.catalog_url!r}
with FeatureStore(Settings(home=Path(home), offline_uri=offline, catalog_url=catalog)) as store:
    store.erase("cards", {{"card": {SECRET!r}}}, reason="request")
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert [record.done for record in store.erasures("cards")] == [False]
    (record,) = store.erase("cards", {"card": SECRET}, reason="request")  # whoever the leases still belong to
    assert (record.events, record.done) == (2, True)
    with store.stream(CARDS):
        pass
    assert counts(store) == ([(0, None), (3, None)], [(0, None), (3, None)])


def test_what_cannot_be_erased_is_said(store: FeatureStore) -> None:
    with pytest.raises(InputError, match="cards has no entity 'cart'; did you mean 'card'"):
        store.erase("cards", {"cart": SECRET}, reason="r")
    with pytest.raises(InputError, match="'card' must be string, got 7"):
        store.erase("cards", {"card": 7}, reason="r")
    with pytest.raises(InputError, match="say why"):
        store.erase("cards", {"card": "7"}, reason=" ")
    with pytest.raises(InputError, match="name the entity"):
        store.erase("cards", {}, reason="r")
    with pytest.raises(FeatureSetNotFound, match="no feature set is about 'person'"):
        store.erase(None, {"person": "7"}, reason="r")
