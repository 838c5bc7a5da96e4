"""A changed declaration becomes a version that is filled first and activated then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.batches import backfill
from eagleray.featurestore.batches.batches import Batches
from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet, Transform
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.registry import Registry
from eagleray.featurestore.sources import sources
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import DefinitionError, FeatureSetNotFound, InputError
from eagleray.runtime.settings import Settings

from ..bench import same_bits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def night(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(night=pl.col("ts").dt.hour() < 7)


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(amount=pl.col("amount") * 2)


def cards(*windows: str, transform: Transform | None = night, schema: dict[str, str] | None = None) -> FeatureSet:
    schema = schema or {"amount": "float64"}
    declared = FeatureSet(
        "cards", [Entity("card", "int64")], "ts", schema, [Aggregate("amount", ["count", "sum", "max"], windows)]
    )
    if transform is not None:
        declared.transform(transform)
    return declared


def events(first: int, count: int) -> pl.DataFrame:
    draw = np.random.default_rng(first)
    return pl.DataFrame(
        {
            "card": draw.integers(0, 12, count),
            "ts": [NOON + timedelta(minutes=first + minute) for minute in range(count)],
            "amount": draw.normal(size=count),
        }
    )


@pytest.fixture
def store(valkey: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeatureStore]:
    monkeypatch.setattr(sources, "CHUNK_ROWS", 50)
    monkeypatch.setattr(backfill, "INLINE_ROWS", 20)
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    with FeatureStore(Settings(home=valkey.home, offline_uri=str(tmp_path / "tables"), catalog_url=catalog)) as opened:
        yield opened


def answers(store: FeatureStore, features: str = "cards:*") -> pl.DataFrame:
    asked = pl.DataFrame({"card": range(13), "ts": [NOON + timedelta(minutes=500)] * 13})
    vector = FeatureVector("v", [features], event_time="ts")
    online = store.get_online_features(vector, asked.to_dicts()).to_polars()
    training = store.get_historical_features(vector, asked)
    assert same_bits(online.select(training.feature_names), training.to_polars().select(training.feature_names))
    return training.to_polars()


def test_a_version_is_filled_before_it_is_active(store: FeatureStore, tmp_path: Path) -> None:
    store.apply(cards("1h"))
    store.ingest(cards("1h"), events(0, 300))
    store.push(cards("1h"), events(300, 10))  # waits in the log
    changed = cards("1h", "1d", "10m")
    seen: list[int] = []
    put = Registry.put

    def noted(self: Registry, feature_set: FeatureSet, *, activate: bool = True) -> object:
        if activate:
            seen.append(store.get("cards").version)
            assert answers(store, "cards:amount_count_1h").height == 13
        return put(self, feature_set, activate=activate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "put", noted)
        assert store.backfill(changed) == 310
    assert seen == [1], "the version before was active until the new one was full"
    assert store.get("cards").version == 2
    fresh = Settings(
        home=store.settings.home, offline_uri=str(tmp_path / "o"), catalog_url=f"sqlite:///{tmp_path}/o.db"
    )
    with FeatureStore(fresh) as other:
        other.apply(changed)
        other.ingest(changed, events(0, 300))
        other.ingest(changed, events(300, 10))
        assert answers(other).equals(answers(store))
    assert store.backfill(changed) == 0


def test_what_reaches_the_former_version_late_comes_over_too(store: FeatureStore) -> None:
    store.apply(cards("1h"))
    store.ingest(cards("1h"), events(0, 100))
    with FeatureStore(store.settings) as unaware:
        unaware.get("cards")
        assert store.backfill(cards("1d")) == 100
        unaware.push(cards("1h"), events(100, 30), wait=True)
    assert store.backfill(cards("1d")) == 30
    counts = answers(store)["cards__amount_count_1d"].to_list()
    assert sum(counts) == 130


def test_a_backfill_that_died_goes_on(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.apply(cards("1h"))
    store.ingest(cards("1h"), events(0, 200))
    ingest = Batches.ingest

    def dies(self: Batches, *given: object, **named: object) -> int:
        ingest(self, *given, **named)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "ingest", dies)
        with pytest.raises(KeyboardInterrupt):
            store.backfill(cards("1d"))
    assert store.get("cards").version == 1
    store.push(cards("1h"), events(200, 7), wait=True)
    assert store.backfill(cards("1d")) == 7
    assert sum(answers(store)["cards__amount_count_1d"].to_list()) == 207


def test_a_version_that_was_applied_at_once_is_filled_from_the_one_before(store: FeatureStore) -> None:
    store.apply(cards("1h"))
    store.ingest(cards("1h"), events(0, 80))
    store.apply(cards("1d"))
    assert sum(answers(store)["cards__amount_count_1d"].to_list()) == 0
    assert store.backfill(cards("1d")) == 80
    assert sum(answers(store)["cards__amount_count_1d"].to_list()) == 80


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (cards("1h", transform=doubled), cards("1d", transform=doubled), "the transform replaces 'amount'"),
        (cards("1h"), cards("1d", transform=doubled), "cards.v1 has another transform"),
        (cards("1h"), cards("1d", schema={"amount": "float64", "city": "string"}), "cards.v1 has no column 'city'"),
    ],
)
def test_events_that_do_not_say_enough_are_refused(
    store: FeatureStore, before: FeatureSet, after: FeatureSet, message: str
) -> None:
    store.apply(before)
    store.ingest(before, events(0, 30))
    with pytest.raises(InputError, match=message + ".*ingest from the source instead"):
        store.backfill(after)
    assert store.get("cards").version == 1


def test_a_new_transform_over_events_that_had_none(store: FeatureStore) -> None:
    store.apply(cards("1h", transform=None))
    store.ingest(cards("1h", transform=None), events(0, 30))
    assert store.backfill(cards("1d", transform=doubled)) == 30
    total = events(0, 30)["amount"].sum()
    assert sum(answers(store)["cards__amount_sum_1d"].to_list()) == pytest.approx(2 * total)


def test_there_must_be_a_version_before(store: FeatureStore) -> None:
    with pytest.raises(FeatureSetNotFound, match="no version before this one"):
        store.backfill(cards("1h"))
    source = FeatureSet("payments", [Entity("card", "int64")], "ts", {"amount": "float64"})
    derived = FeatureSet("by_amount", [Entity("card", "int64")], source=source)
    with pytest.raises(DefinitionError, match="by_amount is derived"):
        store.backfill(derived)
