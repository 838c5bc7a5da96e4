"""Pieces of a batch ingestion: added once, handed out as batches, marked offline; on every log and store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.events.arrow_staging import Staging
from eagleray.featurestore.events.log import EventLog, Mark, MemoryLog, Piece
from eagleray.featurestore.events.placing import BUCKETS
from eagleray.featurestore.events.redis_log import RedisLog
from eagleray.featurestore.offline.delta_offline import DeltaOfflineStore
from eagleray.featurestore.offline.offline import OFFSET, PARTITION, MemoryOfflineStore, OfflineStore
from eagleray.runtime import redis_client
from eagleray.runtime.errors import StorageError
from eagleray.runtime.settings import Settings


@pytest.fixture(params=["memory", "valkey", "redis_server"])
def log(request: pytest.FixtureRequest) -> Iterator[EventLog]:
    if request.param == "memory":
        yield MemoryLog(2)
        return
    settings: Settings = request.getfixturevalue(request.param)
    with redis_client.connect(settings) as client:
        yield RedisLog(client, settings, name=uuid.uuid4().hex, partitions=2)


@pytest.fixture(params=["memory", "delta"])
def offline(request: pytest.FixtureRequest, tmp_path: Path) -> OfflineStore:
    return MemoryOfflineStore() if request.param == "memory" else DeltaOfflineStore(str(tmp_path / "tables"))


def frame(height: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"x": range(height), "text": [None, "é\x00", ""][:height]}, schema={"x": pl.Int64, "text": pl.String}
    )


def test_a_piece_is_one_batch_however_often_it_is_added(log: EventLog) -> None:
    source = uuid.uuid4().hex
    first, second = (Piece(Mark(source, end), 0, end - rows, rows, frame(rows)) for end, rows in ((3, 3), (5, 2)))
    assert log.append_pieces([first, Piece(Mark(source, 1), 1, 0, 1, frame(1))]) == {0: 2, 1: 0}
    assert log.append({0: frame(1)})[0].first == 3
    assert log.append_pieces([first]) == {0: 2}
    assert log.append_pieces([second]) == {0: 5}
    assert log.append_pieces([Piece(Mark("other", 3), 0, 0, 1, frame(1))]) == {0: 6}
    found = log.read({0: -1}, events=100)
    assert [(b.first, b.frame.height, b.mark) for b in found] == [
        (0, 3, Mark(source, 3)),
        (3, 1, None),
        (4, 2, Mark(source, 5)),
        (6, 1, Mark("other", 3)),
    ]
    assert found[0].frame.equals(frame(3))


def test_staged_rows_are_read_when_their_batch_is(log: EventLog, tmp_path: Path) -> None:
    staging = Staging(tmp_path / "staged", partitions=2)
    staging.add(0, frame(3), np.array([0, BUCKETS, 0]), [])
    staging.seal([0])
    held = str(staging.folder)
    log.append_pieces([Piece(Mark("i", 2), 0, 0, 2, held), Piece(Mark("i", 1), 1, 0, 1, held)])
    assert [b.frame["x"].to_list() for b in log.read({0: -1, 1: -1}, events=10)] == [[0, 2], [1]]


def test_erasing_reaches_pieces_that_wait(log: EventLog, tmp_path: Path) -> None:
    staging = Staging(tmp_path / "staged", partitions=2)
    staging.add(0, frame(3), np.array([0, 0, 0]), [])
    staging.seal([0])
    log.append_pieces([Piece(Mark("i", 3), 0, 0, 3, str(staging.folder)), Piece(Mark("j", 2), 1, 0, 2, frame(2))])
    assert [gone["x"].to_list() for gone in log.blank(pl.col("x") == 1)] == [[1], [1]]
    found = log.read({0: -1, 1: -1}, events=10)
    assert [(b.frame["x"].to_list(), b.mark) for b in found] == [
        ([0, None, 2], Mark("i", 3)),
        ([0, None], Mark("j", 2)),
    ]


def test_staged_rows_that_are_gone_are_no_dead_letter(valkey: Settings, tmp_path: Path) -> None:
    with redis_client.connect(valkey) as client:
        log = RedisLog(client, valkey, name=uuid.uuid4().hex, partitions=2)
        log.append_pieces([Piece(Mark("i", 2), 0, 0, 2, str(tmp_path / "gone"))])
        for _ in range(2):
            with pytest.raises(
                StorageError, match=r"staged rows of an ingestion are gone from .* run that ingestion again"
            ):
                log.read({0: -1}, events=10)


def test_marks_say_how_much_of_an_ingestion_a_partition_has(offline: OfflineStore) -> None:
    def rows(partition: int, *offsets: int) -> pl.DataFrame:
        return pl.DataFrame(
            {"x": [1.0] * len(offsets), PARTITION: [partition] * len(offsets), OFFSET: list(offsets)},
            schema={"x": pl.Float64, PARTITION: pl.Int32, OFFSET: pl.Int64},
        )

    assert offline.taken("t", "i", 0) == 0
    offline.append("t", rows(0, 0, 1), last_offsets={0: 1}, marks={0: (Mark("i", 1), Mark("j", 1), Mark("i", 2))})
    offline.append("t", rows(1, 0), last_offsets={1: 0}, marks={1: [Mark("i", 7)]})
    offline.append("t", rows(0, 1), last_offsets={0: 1}, marks={0: (Mark("i", 9),)})
    assert [offline.taken("t", "i", p) for p in (0, 1, 2)] == [2, 7, 0]
    assert offline.taken("t", "j", 0) == 1
