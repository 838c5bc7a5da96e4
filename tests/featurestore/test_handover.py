"""History from a batch, the present from a stream: no gap, nothing twice, whichever comes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow
import pytest

from eagleray.featurestore.batches import backfill
from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.sources import sources
from eagleray.featurestore.store import FeatureStore
from eagleray.featurestore.streams.settling import Hands
from eagleray.featurestore.streams.stream import Stream
from eagleray.runtime.settings import Settings

from .bench import same_bits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
END = NOON + timedelta(hours=40)


def cards() -> FeatureSet:
    aggregates = [Aggregate("amount", ["count", "sum", "max"], ["1h", "1d", "7d"])]
    return FeatureSet("cards", [Entity("card", "int64")], "ts", {"amount": "float64"}, aggregates, features=["amount"])


def events(count: int = 900) -> pl.DataFrame:
    draw = np.random.default_rng(3)
    seconds = np.sort(draw.permutation(120_000)[:count])
    return pl.DataFrame(
        {
            "card": draw.integers(0, 40, count),
            "ts": [NOON + timedelta(seconds=int(second)) for second in seconds],
            "amount": draw.normal(size=count),
        }
    )


@pytest.fixture
def make(valkey: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Makes stores on the shared server, each with a catalog and tables of its own; batches are large at 100 rows."""
    monkeypatch.setattr(sources, "CHUNK_ROWS", 100)
    monkeypatch.setattr(backfill, "PIECE_ROWS", 30)
    monkeypatch.setattr(backfill, "INLINE_ROWS", 0)
    opened: list[FeatureStore] = []

    def store(name: str) -> FeatureStore:
        offline, catalog = str(tmp_path / name), f"sqlite:///{tmp_path / name}.db"
        opened.append(FeatureStore(Settings(home=valkey.home, offline_uri=offline, catalog_url=catalog)))
        opened[-1].apply(cards())
        return opened[-1]

    yield store
    for one in opened:
        one.close()


def answers(store: FeatureStore) -> pl.DataFrame:
    """Online and offline agree; what they say."""
    asked = pl.DataFrame({"card": range(41), "ts": [END] * 41})
    vector = FeatureVector("v", ["cards:*"], event_time="ts")
    online = store.get_online_features(vector, asked.to_dicts()).to_polars()
    training = store.get_historical_features(vector, asked)
    assert same_bits(online.select(training.feature_names), training.to_polars().select(training.feature_names))
    return training.to_polars()


def test_history_up_to_a_cut_then_the_stream(make) -> None:
    whole, handed = make("whole"), make("handed")
    whole.ingest(cards(), events())
    cut = NOON + timedelta(hours=20)
    with handed.stream(cards()):
        # The stream begins before the backfill does, and the backfill's source goes on beyond the cut.
        assert handed.push(cards(), events().filter(pl.col("ts") >= cut)[:50], wait=True) == 50
        old = events().filter(pl.col("ts") < cut).height
        assert handed.ingest(cards(), events(), until=cut) == old
        assert handed.ingest(cards(), events(), until=cut.isoformat()) == 0
        handed.push(cards(), events().filter(pl.col("ts") >= cut)[50:], wait=True)
    assert answers(handed).equals(answers(whole))


def test_a_stream_goes_on_while_a_batch_comes(make) -> None:
    whole, both = make("whole"), make("both")
    whole.ingest(cards(), events())
    batch, live = events().filter(pl.col("card") % 3 != 0), events().filter(pl.col("card") % 3 == 0)
    mixed = events().filter(pl.col("card") == 7)
    batch, live = batch.filter(pl.col("card") != 7), pl.concat([live, mixed[::2]])
    batch = pl.concat([batch, mixed[1::2]])
    failures: list[BaseException] = []

    def push() -> None:
        try:
            with FeatureStore(both.settings) as other:
                for piece in live.iter_slices(20):
                    other.push(cards(), piece)
        except BaseException as error:
            failures.append(error)
            raise

    with both.stream(cards()) as stream:
        pusher = threading.Thread(target=push)
        pusher.start()
        assert both.ingest(cards(), batch) == batch.height
        pusher.join()
    assert not failures
    assert stream.events == events().height, "the stream did the work of both"
    assert answers(both).equals(answers(whole))


def test_others_go_on_while_a_source_is_read(make) -> None:
    whole, both = make("whole"), make("both")
    whole.ingest(cards(), events())
    pushed: list[int] = []

    def read() -> Iterator[pyarrow.RecordBatch]:
        for place, piece in enumerate(events().iter_slices(100)):
            if place % 2:
                pushed.append(both.push(cards(), piece, wait=True))
            else:
                yield from piece.to_arrow().to_batches()

    schema = events().to_arrow().schema
    assert both.ingest(cards(), pyarrow.RecordBatchReader.from_batches(schema, read())) == 500
    assert pushed == [100] * 4
    assert answers(both).equals(answers(whole))


def test_a_stream_that_begins_while_a_batch_is_stored_takes_over(make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, both = make("whole"), make("both")
    whole.ingest(cards(), events())
    reach = Hands.reach
    begun: list[AbstractContextManager[Stream]] = []

    def reach_and_look(self: Hands, ends: object) -> None:
        reach(self, ends)  # type: ignore[arg-type]
        if not begun:
            begun.append(both.stream(cards()))
            begun[0].__enter__()

    monkeypatch.setattr(Hands, "reach", reach_and_look)
    assert both.ingest(cards(), events()) == 900
    begun[0].__exit__(None, None, None)
    assert answers(both).equals(answers(whole))
