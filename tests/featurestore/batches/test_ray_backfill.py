"""An ingestion on Ray stores the same bytes as one in this process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.batches import backfill
from eagleray.featurestore.batches.batches import RAY_BYTES, chosen
from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.offline.offline import OFFSET, PARTITION
from eagleray.featurestore.sources import sources
from eagleray.featurestore.sources.sources import Source
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CARDS = 60


def cards() -> FeatureSet:
    aggregates = [Aggregate("amount", ["count", "sum", "max"], ["1h", "1d"])]
    declared = FeatureSet("cards", [Entity("card", "int64")], "ts", {"amount": "float64"}, aggregates, ["amount"])

    @declared.transform
    def night(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(night=pl.col("ts").dt.hour() < 7)

    return declared


def held(store: FeatureStore) -> tuple[list[bytes | None], pl.DataFrame]:
    """All that is stored, but for when it was."""
    applied = store.get("cards")
    values = store._online.read([applied.online_key(f"card=i{card}") for card in range(CARDS)])
    columns = [*applied.columns, PARTITION, OFFSET]
    return values, store._offline.read(applied.full_name, columns).sort(PARTITION, OFFSET)


def test_the_same_bytes_as_in_one_process(
    ray_cluster: Settings, valkey: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK_ROWS", 100)
    monkeypatch.setattr(backfill, "INLINE_ROWS", 0)
    monkeypatch.setattr(backfill, "PIECE_ROWS", 60)
    draw = np.random.default_rng(5)
    for place in range(3):
        frame = {
            "card": draw.integers(0, CARDS, 400),
            "ts": [NOON + timedelta(seconds=int(second)) for second in draw.integers(0, 90_000, 400)],
            "amount": draw.normal(size=400),
        }
        pl.DataFrame(frame).write_parquet(tmp_path / f"{place}.parquet")
    stored = []
    for engine in ("local", "ray"):
        catalog = f"sqlite:///{tmp_path / engine}.db"
        home = tmp_path / "home"  # the server is found by its address: workers must not start one of their own
        address = valkey_address(valkey)
        settings = Settings(home=home, redis_url=address, offline_uri=str(tmp_path / engine), catalog_url=catalog)
        with FeatureStore(settings) as store:
            store.apply(cards())
            assert store.ingest(cards(), f"{tmp_path}/*.parquet", engine=engine) == 1200
            assert store.ingest(cards(), f"{tmp_path}/*.parquet", engine=engine) == 0
            assert not any((home / "staged" / store.get("cards").full_name).iterdir())
            stored.append(held(store))
            bad = pl.DataFrame({"card": [1], "ts": [NOON], "amount": ["much"]})
            bad.write_parquet(tmp_path / "bad.parquet")
            with pytest.raises(InputError, match=r"bad\.parquet: column 'amount' must be float64"):
                store.ingest(cards(), tmp_path / "*.parquet", engine=engine)
            (tmp_path / "bad.parquet").unlink()
    (values, rows), (values_too, rows_too) = stored
    assert values == values_too
    assert rows.equals(rows_too)


def valkey_address(settings: Settings) -> str:
    from eagleray.runtime import redis_client

    with redis_client.connect(settings) as client:
        known = client.connection_pool.connection_kwargs
        return f"redis://:{known.get('password') or ''}@{known['host']}:{known['port']}/0"


def test_ray_is_taken_for_large_files_where_there_is_one() -> None:
    def source(parts: int, size: int) -> Source:
        one = Source("one", lambda: iter(()))
        return Source("all", lambda: iter(()), parts=(one,) * parts, bytes=size)

    large = source(3, RAY_BYTES)
    assert chosen(None, large, ray_is_up=True) == "ray"
    assert chosen(None, large, ray_is_up=False) == "local"
    assert chosen(None, source(3, RAY_BYTES - 1), ray_is_up=True) == "local"
    assert chosen(None, source(1, RAY_BYTES), ray_is_up=True) == "local"
    assert chosen("ray", source(0, 0), ray_is_up=False) == "ray"
    assert chosen("local", large, ray_is_up=True) == "local"
    with pytest.raises(InputError, match="engine='rya'; did you mean 'ray'"):
        chosen("rya", large, ray_is_up=True)
