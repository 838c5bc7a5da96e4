"""What other programs may do to a log on a server, and what the log makes of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import polars as pl
import pytest
import redis

from eagleray.featurestore.events.redis_log import RedisLog
from eagleray.runtime import redis_client
from eagleray.runtime.errors import Fenced
from eagleray.runtime.settings import Settings


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def client(server: Settings) -> Iterator[redis.Redis]:
    with redis_client.connect(server) as opened:
        yield opened


@pytest.fixture
def log(client: redis.Redis, server: Settings, name: str) -> RedisLog:
    return RedisLog(client, server, name=name, partitions=1)


def frame(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"x": values})


def test_foreign_entries_beyond_its_offsets_do_not_bar_the_way(log: RedisLog, client: redis.Redis, name: str) -> None:
    log.append({0: frame(1)})
    client.xadd(f"er:log:{{{name}:0}}", {"payload": b"\xff\x00"})  # an id of today's milliseconds
    assert log.append({0: frame(2, 3)})[0].first == 1
    client.xadd(f"er:log:{{{name}:0}}", {"payload": "again"})
    assert [batch.first for batch in log.read({0: -1}, events=50_000)] == [0, 1]  # the reader meets it first
    assert log.append({0: frame(4)})[0].first == 3
    assert [batch.first for batch in log.read({0: -1}, events=50_000)] == [0, 1, 3]
    reasons = [letter.reason for letter in log.buried()]
    assert len(reasons) == 2
    assert all("not an event batch of ours" in reason for reason in reasons)
    assert "again" in log.buried()[-1].row


def test_bytes_that_are_no_arrow_are_put_aside(log: RedisLog, client: redis.Redis, name: str) -> None:
    log.append({0: frame(1)})
    for n, arrow in ((1, b"no arrow"), (7, b"")):
        client.xadd(f"er:log:{{{name}:0}}", {"n": n, "arrow": arrow}, id=f"0-{9999999999999 + n}")
    assert [batch.first for batch in log.read({0: -1}, events=50_000)] == [0]
    assert len(log.buried()) == 2
    assert [batch.first for batch in log.read({0: -1}, events=50_000)] == [0]
    assert len(log.buried()) == 2


def test_a_log_is_opened_with_the_partitions_it_has(
    log: RedisLog, client: redis.Redis, server: Settings, name: str
) -> None:
    assert RedisLog(client, server, name=name, partitions=9).partitions == 1


def test_it_goes_on_on_a_server_that_has_forgotten_its_scripts(log: RedisLog, client: redis.Redis) -> None:
    log.append({0: frame(1)})
    client.script_flush()
    assert log.append({0: frame(2)})[0].first == 1
    client.script_flush()
    log.advance({0: 1})
    assert log.checkpoints() == {0: 1}


def test_a_server_that_lost_its_last_second_gives_no_offset_out_again(
    server: Settings, client: redis.Redis, name: str
) -> None:
    saved = {0: 4}
    log = RedisLog(client, server, name=name, partitions=1, known=lambda: saved)
    assert log.append({0: frame(1)})[0].first == 5
    saved[0] = 20
    assert log.append({0: frame(1)})[0].first == 6  # the same run: nothing was lost, nobody asks
    client.script_flush()  # what a start does to scripts
    assert log.append({0: frame(1)})[0].first == 21


def test_what_was_learnt_from_another_run_of_the_server_is_not_believed(log: RedisLog) -> None:
    log.append({0: frame(1)})
    runs = log.runs()
    assert len(log.read({0: -1}, events=1, runs=runs)) == 1
    log.advance({0: 0}, runs=runs)
    with pytest.raises(Fenced, match="was started anew"):
        log.read({0: -1}, events=1, runs={0: "another"})
    with pytest.raises(Fenced):
        log.advance({0: 5}, runs={0: "another"})
    assert log.checkpoints() == {0: 0}
