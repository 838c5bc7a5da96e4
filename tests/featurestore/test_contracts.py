"""One contract for each port, run on memory and on every real store there is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import polars as pl
import pytest

from eagleray.featurestore.events.log import (
    BYTES_A_BATCH,
    EVENTS_A_BATCH,
    DeadLetter,
    EventLog,
    Mark,
    MemoryLog,
    pieces,
)
from eagleray.featurestore.events.redis_log import RedisLog
from eagleray.featurestore.online.online import MemoryOnlineStore, OnlineStore
from eagleray.featurestore.online.redis_online import CHUNK_KEYS, RedisOnlineStore
from eagleray.featurestore.online.redis_open_online import open_online
from eagleray.runtime import redis_client
from eagleray.runtime.errors import Fenced
from eagleray.runtime.settings import Settings

SERVERS = ["memory", "valkey", "redis_server"]


def stored(offset: int, tail: bytes = b"") -> bytes:
    """A value as the store sees it: format, offset, anything."""
    return b"\x01" + offset.to_bytes(8, "big") + tail


@pytest.fixture(params=[*SERVERS, "valkey_cluster"])
def online(request: pytest.FixtureRequest) -> Iterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryOnlineStore()
        return
    store = open_online(request.getfixturevalue(request.param))
    yield store
    store.close()


@pytest.fixture(params=SERVERS)
def log(request: pytest.FixtureRequest) -> Iterator[EventLog]:
    if request.param == "memory":
        yield MemoryLog(2)
        return
    settings: Settings = request.getfixturevalue(request.param)
    with redis_client.connect(settings) as client:
        yield RedisLog(client, settings, name=uuid.uuid4().hex, partitions=2)


class TestOnlineStore:
    def test_reads_back_in_order_with_none_for_the_unknown(self, online: OnlineStore) -> None:
        a, b = (uuid.uuid4().bytes for _ in range(2))
        online.write([(a, stored(1, b"\x00\xff"))], lease=online.lease("x"))
        assert online.read([b, a, b]) == [None, stored(1, b"\x00\xff"), None]
        assert online.read([]) == []

    def test_an_older_offset_never_overwrites(self, online: OnlineStore) -> None:
        key, lease = uuid.uuid4().bytes, online.lease("x")
        for offset in (256, 255, 256):
            online.write([(key, stored(offset, b"first" if offset == 256 else b"old"))], lease=lease)
        assert online.read([key]) == [stored(256, b"first")]
        online.write([(key, stored(2**40))], lease=lease)
        assert online.read([key]) == [stored(2**40)]

    def test_a_lease_taken_over_fences_the_former_holder(self, online: OnlineStore) -> None:
        name, key = uuid.uuid4().hex, uuid.uuid4().bytes
        former = online.lease(name)
        latter = online.lease(name)
        with pytest.raises(Fenced, match="taken"):
            online.write([(key, stored(1))], lease=former)
        assert online.read([key]) == [None]
        online.write([(key, stored(1))], lease=latter)

    def test_a_value_goes_at_its_moment(self, online: OnlineStore) -> None:
        prefix = uuid.uuid4().hex.encode()
        keys = [prefix + b"%d" % place for place in range(2 * CHUNK_KEYS)]
        now_ms = time.time_ns() // 1_000_000
        expires_ms = [(0, now_ms + 60_000, now_ms - 1)[place % 3] for place in range(len(keys))]
        lease = online.lease("x")
        online.write([(key, stored(1)) for key in keys], lease=lease, expires_ms=expires_ms)
        assert [value is None for value in online.read(keys)] == [place % 3 == 2 for place in range(len(keys))]
        online.write([(keys[1], stored(1)), (keys[0], stored(2))], lease=lease, expires_ms=[1, now_ms - 1])
        assert online.read(keys[:2]) == [None, stored(1)], "what is not newer keeps its moment too"
        online.write([(keys[0], stored(1))], lease=lease)
        assert online.read(keys[:1]) == [stored(1)]

    def test_writes_more_keys_than_a_chunk(self, online: OnlineStore) -> None:
        prefix = uuid.uuid4().hex.encode()
        values = [(prefix + b":%d" % place, stored(place + 1)) for place in range(2 * CHUNK_KEYS + 1)]
        online.write(values, lease=online.lease("x"))
        assert online.read([key for key, _ in values]) == [value for _, value in values]

    def test_erases_by_prefix_taken_literally(self, online: OnlineStore) -> None:
        prefix = b"[er*" + uuid.uuid4().hex.encode()
        online.write([(prefix + b"1", stored(1)), (prefix + b"2", stored(1))], lease=online.lease("x"))
        assert online.erase(b"[er?" + prefix[4:]) == 0
        assert online.erase(prefix) == 2
        assert online.read([prefix + b"1"]) == [None]


@pytest.mark.parametrize("server", ["valkey", "redis_server"], indirect=True)
def test_a_broken_connection_is_made_again(server: Settings) -> None:
    key = uuid.uuid4().bytes
    with redis_client.connect(server) as client, redis_client.connect(server, retries=3) as used:
        online = RedisOnlineStore(used, server)
        online.write([(key, stored(1))], lease=online.lease("x"))
        for _ in range(2):
            assert online.read([key]) == [stored(1)]
            client.client_kill_filter(_type="normal", skipme=True)
        assert online.read([key]) == [stored(1)]

    def test_removes_keys_for_good(self, online: OnlineStore) -> None:
        a, b, none = (uuid.uuid4().bytes for _ in range(3))
        online.write([(a, stored(5)), (b, stored(5))], lease=online.lease("x"))
        assert online.remove([a, none]) == 1
        assert online.remove([]) == 0
        assert online.read([a, b]) == [None, stored(5)]


class TestEventLog:
    def test_what_comes_from_another_log_comes_once(self, log: EventLog) -> None:
        some, none = pl.DataFrame({"x": [1, 2, 3]}), pl.DataFrame({"x": []}, schema={"x": pl.Int64})
        for _ in range(2):  # repeated, as after a crash
            log.relay("other:0", {0: some, 1: none}, since={0: -1, 1: -1}, upto=5)
        assert log.relayed("other:0") == {0: 5, 1: 5}
        assert log.relayed("other:1") == {0: -1, 1: -1}
        with pytest.raises(Fenced, match="another relay"):
            log.relay("other:0", {0: some, 1: none}, since={0: 2, 1: 2}, upto=9)
        log.relay("other:0", {0: none, 1: some}, since={0: 5, 1: 5}, upto=9)
        batches = log.read({0: -1, 1: -1}, events=100)
        assert [(batch.partition, batch.first, batch.frame.height) for batch in batches] == [(0, 0, 3), (1, 0, 3)]
        assert [batch.mark for batch in batches] == [Mark("other:0", 6), Mark("other:0", 10)]

    def test_offsets_ascend_and_reading_resumes_after_one(self, log: EventLog) -> None:
        first = log.append({0: frame(3), 1: frame(1)})
        second = log.append({0: frame(2)})
        assert [(b.partition, b.first, b.last) for b in first + second] == [(0, 0, 2), (1, 0, 0), (0, 3, 4)]
        everything = log.read({0: -1, 1: -1}, events=50_000)
        assert [(b.partition, b.first) for b in everything] == [(0, 0), (0, 3), (1, 0)]
        assert everything[0].frame.equals(frame(3))
        assert [b.first for b in log.read({0: 2}, events=50_000)] == [3]
        assert [b.first for b in log.read({0: -1}, events=1)] == [0]

    def test_offsets_that_a_store_knows_are_never_given_again(self, log: EventLog) -> None:
        log.raise_to({0: 9, 1: -1})
        log.raise_to({0: 3})
        assert [log.append({p: frame(1)})[0].first for p in (0, 1)] == [10, 0]
        assert log.ends() == {0: 10, 1: 0}

    def test_an_append_repeated_with_its_token_adds_nothing(self, log: EventLog) -> None:
        first = log.append({0: frame(3), 1: frame(2)}, token="t")
        log.append({0: frame(1)}, token="other")
        again = log.append({0: frame(3), 1: frame(2)}, token="t")
        assert [(b.partition, b.first) for b in again] == [(b.partition, b.first) for b in first]
        assert log.ends() == {0: 3, 1: 1}

    def test_a_large_frame_is_several_batches_and_one_append(self, log: EventLog) -> None:
        [whole] = log.append({0: pl.DataFrame({"x": range(EVENTS_A_BATCH + 1)})})
        assert (whole.first, whole.last) == (0, EVENTS_A_BATCH)
        assert [(b.first, b.last) for b in log.read({0: -1}, events=50_000)] == [
            (0, EVENTS_A_BATCH - 1),
            (EVENTS_A_BATCH, EVENTS_A_BATCH),
        ]
        [long] = [piece.height for piece in pieces(pl.DataFrame({"text": ["x" * BYTES_A_BATCH]}))]
        assert long == 1

    def test_it_knows_how_much_it_holds_and_since_when(self, log: EventLog) -> None:
        assert {held.events for held in log.held().values()} == {0}
        log.append({0: frame(3)})
        log.append({0: frame(2)})
        assert [held.events for held in log.held().values()] == [5, 0]
        since = log.waiting_since_ms({0: 2, 1: -1})
        assert since[0] is not None
        assert abs(since[0] / 1000 - time.time()) < 60
        assert (since[1], log.waiting_since_ms({0: 4})) == (None, {0: None})
        before = log.held()[0].bytes
        log.trim({0: 2})
        assert log.held()[0].events == 2
        assert 0 < log.held()[0].bytes < before

    def test_checkpoints_only_move_forwards(self, log: EventLog) -> None:
        assert log.checkpoints() == {0: -1, 1: -1}
        log.advance({0: 5})
        log.advance({0: 3, 1: 0})
        assert log.checkpoints() == {0: 5, 1: 0}

    def test_trimming_drops_what_was_read(self, log: EventLog) -> None:
        log.append({0: frame(3)})
        log.append({0: frame(2)})
        log.trim({0: 2})
        assert [b.first for b in log.read({0: -1}, events=50_000)] == [3]

    def test_dead_letters_keep_their_reason(self, log: EventLog) -> None:
        log.bury([DeadLetter("no key", '{"x":1}'), DeadLetter("é", "{}")])
        assert log.buried(most=1) == [DeadLetter("é", "{}")]
        assert [letter.reason for letter in log.buried()] == ["no key", "é"]

    def test_a_dead_letter_with_a_place_is_there_once_until_it_is_forgotten(self, log: EventLog) -> None:
        letters = [DeadLetter("bad", '{"x":1}', (1, offset)) for offset in (3, 5)]
        log.bury(letters)
        log.bury([*letters, DeadLetter("bad", '{"x":2}', (1, 6)), DeadLetter("refused", "{}")])
        found = log.buried()
        assert sorted(letter.place for letter in found if letter.place) == [(1, 3), (1, 5), (1, 6)]
        assert log.buried_count() == len(found) == 4
        log.forget([letter for letter in found if letter.place != (1, 5)])
        assert log.buried() == [letters[1]]

    def test_blanked_events_keep_their_places(self, log: EventLog) -> None:
        log.append({0: frame(3), 1: frame(1)})
        log.append({0: frame(2)})
        (first, second) = log.blank(pl.col("x") == 1)
        assert first.to_dicts() == second.to_dicts() == [{"x": 1, "text": "é"}]
        log.append({0: frame(1)})
        found = log.read({0: -1, 1: -1}, events=100)
        assert [(b.partition, b.first, b.frame["x"].to_list()) for b in found] == [
            (0, 0, [0, None, 2]),
            (0, 3, [0, None]),
            (0, 5, [0]),
            (1, 0, [0]),
        ]
        assert log.blank(pl.col("x") == 1) == []
        log.trim({0: 5, 1: 0})
        assert {held.events for held in log.held().values()} == {0}
        assert {held.bytes for held in log.held().values()} == {0}


def frame(height: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"x": range(height), "text": [None, "é", ""][:height]}, schema={"x": pl.Int64, "text": pl.String}
    )
