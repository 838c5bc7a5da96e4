"""A training set rebuilt from its pins: the same bytes, whatever came in or was merged since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import InputError, PinNotFound
from eagleray.runtime.settings import Settings

from ..bench import same_bits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
VECTOR = FeatureVector("v", ["cards:*"], event_time="ts")
LABELS = pl.DataFrame({"card": ["a", "b", "nobody"], "ts": [NOON + timedelta(hours=2)] * 3})


def cards(*, windows: tuple[str, ...] = ("1h", "1d")) -> FeatureSet:
    aggregates = [Aggregate("amount", ["count", "sum", "avg"], windows)]
    return FeatureSet("cards", [Entity("card")], "ts", {"amount": "float64"}, aggregates, features=["amount"])


def rows(minutes: range) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "card": ["a" if minute % 2 else "b" for minute in minutes],
            "ts": [NOON + timedelta(minutes=minute) for minute in minutes],
            "amount": [minute / 10 for minute in minutes],
        }
    )


@pytest.fixture
def store(valkey: Settings, tmp_path: Path) -> Iterator[FeatureStore]:
    """A store on the shared server with a catalog and tables of its own."""
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    with FeatureStore(Settings(home=valkey.home, offline_uri=str(tmp_path / "offline"), catalog_url=catalog)) as opened:
        yield opened


def test_later_events_and_versions_do_not_change_a_pinned_set(store: FeatureStore) -> None:
    store.apply(cards())
    store.ingest(cards(), rows(range(60)))
    store.push(cards(), rows(range(60, 90)), wait=True)
    first = store.get_historical_features(VECTOR, LABELS)
    store.ingest(cards(), rows(range(5, 115)))  # late ones too, inside every window
    assert store.get_historical_features(VECTOR, LABELS).to_polars()["cards__amount_count_1d"].to_list() != [45, 45, 0]
    again = store.get_historical_features(VECTOR, LABELS, pins=first.pins)
    assert same_bits(again.to_polars(), first.to_polars())
    assert again.pins == first.pins
    store.apply(cards(windows=("2h",)))
    assert same_bits(store.get_historical_features(VECTOR, LABELS, pins=first.pins).to_polars(), first.to_polars())


def test_compaction_and_vacuum_do_not_change_a_pinned_set(store: FeatureStore, tmp_path: Path) -> None:
    from deltalake import DeltaTable

    store.apply(cards())
    for minute in range(0, 60, 20):
        store.ingest(cards(), rows(range(minute, minute + 20)))
    first = store.get_historical_features(VECTOR, LABELS)
    store.ingest(cards(), rows(range(60, 80)))
    assert (compacted := store.compact("cards")).files_before > compacted.files_after
    (table,) = (tmp_path / "offline").rglob("_delta_log")
    assert DeltaTable(str(table.parent)).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert same_bits(store.get_historical_features(VECTOR, LABELS, pins=first.pins).to_polars(), first.to_polars())


def test_pins_hold_beyond_the_reach_of_the_tables_own_log(store: FeatureStore, tmp_path: Path) -> None:
    store.apply(cards())
    store.ingest(cards(), rows(range(60)))
    first = store.get_historical_features(VECTOR, LABELS)
    store.ingest(cards(), rows(range(60, 90)))
    forget_log(tmp_path / "offline", below=1)
    assert same_bits(store.get_historical_features(VECTOR, LABELS, pins=first.pins).to_polars(), first.to_polars())


def test_a_pin_nobody_knows_says_what_to_do(store: FeatureStore, tmp_path: Path) -> None:
    store.apply(cards())
    for minute in range(3):
        store.ingest(cards(), rows(range(minute, minute + 1)))
    forget_log(tmp_path / "offline", below=2)
    for version in (0, 7):
        with pytest.raises(PinNotFound, match=f"version {version} of the offline table .*cards.v1 .* without pins"):
            store.get_historical_features(VECTOR, LABELS, pins={"cards.v1": version})
    with pytest.raises(PinNotFound, match=r"no cards\.v9 in this store"):
        store.get_historical_features(VECTOR, LABELS, pins={"cards.v9": 0})
    with pytest.raises(InputError, match=r"the pins name people\.v1, not one version of 'cards'"):
        store.get_historical_features(VECTOR, LABELS, pins={"people.v1": 0})


def test_a_set_without_events_is_pinned_as_empty(store: FeatureStore) -> None:
    store.apply(cards())
    first = store.get_historical_features(VECTOR, LABELS)
    assert first.pins == {"cards.v1": -1}
    store.ingest(cards(), rows(range(60)))
    assert same_bits(store.get_historical_features(VECTOR, LABELS, pins=first.pins).to_polars(), first.to_polars())


def forget_log(root: Path, *, below: int) -> None:
    """What time does to a table's log: a checkpoint is written and the commits before it are cleaned away."""
    from deltalake import DeltaTable

    (table,) = root.rglob("_delta_log")
    DeltaTable(str(table.parent)).create_checkpoint()
    for commit in table.glob("*.json"):
        if int(commit.stem) < below:
            commit.unlink()
