"""Every column type on every way: batch, stream, a worker's recovery, training set, derived set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.store import FeatureStore
from eagleray.featurestore.streams.worker import Worker
from eagleray.runtime.settings import Settings

from .bench import same_bits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
COLUMNS = {
    "shop": "string",
    "whole": "int64",
    "small": "int32",
    "number": "float64",
    "narrow": "float32",
    "yes": "bool",
    "seen": "timestamp",
    "tags": "list[string]",
    "marks": "list[int64]",
    "shares": "list[float64]",
    "place": "vector[3]",
}
FULL = {
    "shop": "é|\\",
    "whole": 2**60,
    "small": -7,
    "number": 0.1,
    "narrow": 0.5,
    "yes": True,
    "seen": NOON,
    "tags": ["a", "", "日本"],
    "marks": [1, -1],
    "shares": [],
    "place": [1.0, 2.0, 0.25],
}
NOTHING = dict.fromkeys(COLUMNS)


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    events = FeatureSet("events", [Entity("card", "int64")], "ts", COLUMNS)
    derived = FeatureSet("shops", [Entity("shop")], source=events)
    vector = FeatureVector("v", ["events:*"], event_time="ts")
    rows = [{"card": card, "ts": NOON, **(FULL if card % 2 else NOTHING)} for card in range(4)]
    with FeatureStore(Settings(home=tmp_path)) as store:
        applied = store.apply(events)
        store.ingest(events, rows[:2])
        store.push(events, rows[2:], wait=True)
        store.apply(derived)
        store.update(derived)  # by now from the offline table
        asked = [{"card": card, "ts": NOON + timedelta(hours=1)} for card in range(5)]
        online = store.get_online_features(vector, asked).to_polars()
        assert [online.row(card, named=True) for card in range(4)] == [
            {f"events__{name}": value for name, value in (FULL if card % 2 else NOTHING).items()} for card in range(4)
        ]
        labels = pl.DataFrame(asked)
        training = store.get_historical_features(vector, labels).to_polars().select(online.columns)
        assert same_bits(online, training)

        # The online store is lost: a new worker makes it anew from the table.
        stores = store._stores(applied)
        stores.online.erase(applied.online_key("")[:-3])
        stores.log._client.delete(*stores.log._client.keys("er:checkpoint:*"))  # type: ignore[attr-defined]
        Worker(events, applied, stores)
        assert same_bits(store.get_online_features(vector, asked).to_polars(), online)

        shops = FeatureVector("w", ["shops:*"], event_time="ts")
        found = store.get_online_features(shops, [{"shop": FULL["shop"], "ts": NOON + timedelta(hours=1)}]).to_rows()[0]
        assert found["shops__place"] == FULL["place"]
        assert found["shops__tags"] == FULL["tags"]
