"""The contract of leases, in memory and on every server; their time is the server's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from eagleray.featurestore.events.leases import Lease, Leases, Member, MemoryLeases, lease_name
from eagleray.featurestore.events.membership import Membership
from eagleray.featurestore.events.redis_leases import RedisLeases
from eagleray.runtime import redis_client
from eagleray.runtime.settings import Settings

LONG_MS, SHORT_MS = 60_000, 25


@pytest.fixture(params=["memory", "valkey", "redis_server"])
def leases(request: pytest.FixtureRequest) -> Iterator[Leases]:
    if request.param == "memory":
        yield MemoryLeases()
        return
    settings: Settings = request.getfixturevalue(request.param)
    with redis_client.connect(settings) as client:
        yield RedisLeases(client, settings)


@pytest.fixture
def group() -> str:
    return f"ns/{uuid.uuid4().hex}.v1"


def eventually(found: Callable[[], object]) -> object:
    """What `found` gives once it gives anything; time that passes on a server cannot be passed in."""
    deadline = time.monotonic() + 10
    while not (result := found()):
        assert time.monotonic() < deadline, "it did not come about"
    return result


def test_one_holder_at_a_time_and_the_epoch_only_grows(leases: Leases, group: str) -> None:
    name = lease_name(group, 0)
    first = leases.claim(name, "a", ttl_ms=LONG_MS)
    assert first is not None
    assert leases.claim(name, "b", ttl_ms=LONG_MS) is None
    again = leases.claim(name, "a", ttl_ms=LONG_MS)  # the same owner, born again
    assert again is not None
    assert again.epoch > first.epoch
    leases.release(first)  # a former epoch gives nothing back
    assert leases.claim(name, "b", ttl_ms=LONG_MS) is None
    leases.release(again)
    second = leases.claim(name, "b", ttl_ms=LONG_MS)
    assert second is not None
    assert second.epoch > again.epoch
    assert leases.take(name, "c", ttl_ms=LONG_MS).epoch > second.epoch
    assert leases.beat(group, [name]).holders == {name: "c"}


def test_it_lapses_unless_it_is_renewed(leases: Leases, group: str) -> None:
    kept, lapsing = lease_name(group, 0), lease_name(group, 1)
    mine = leases.claim(kept, "a", ttl_ms=SHORT_MS)
    assert mine is not None
    leases.beat(group, [kept], me=Member("a", LONG_MS, {kept: mine.epoch}))
    leases.claim(lapsing, "a", ttl_ms=SHORT_MS)
    assert eventually(lambda: leases.claim(lapsing, "b", ttl_ms=LONG_MS))
    assert leases.claim(kept, "b", ttl_ms=LONG_MS) is None
    # What was taken in between is not renewed.
    roll = leases.beat(group, [lapsing], me=Member("a", LONG_MS, {lapsing: 1}))
    assert roll.holders == {lapsing: "b"}


def test_members_are_known_while_they_beat(leases: Leases, group: str) -> None:
    leases.beat(group, [], me=Member("a", LONG_MS, note="é"))
    assert leases.beat(group, [], me=Member("b", SHORT_MS)).members == {"a": "é", "b": ""}
    assert leases.beat(group, [], me=Member("guest", LONG_MS, joins=False)).members.keys() >= {"a"}
    assert eventually(lambda: leases.beat(group, []).members == {"a": "é"})
    leases.leave(group, "a")
    assert leases.beat(group, []).members == {}


def settle(*members: Membership) -> None:
    """Beats and follows the changes until nobody wants any."""
    deadline = time.monotonic() + 10
    while True:
        for member in members:
            member.beat()
        changes = [(member, member.change()) for member in members]
        for member, change in changes:
            for item in {*change.give, *change.lost}:
                member.release(item)
            for item in change.take:
                member.claim(item)
        if not any(change.give or change.take or change.lost for _, change in changes):
            return
        assert time.monotonic() < deadline


def test_members_share_the_items_and_follow_each_other(leases: Leases, group: str) -> None:
    items = [str(item) for item in range(5)]
    one = Membership(leases, group, items)
    settle(one)
    assert sorted(one.held) == items
    two, three = Membership(leases, group, items), Membership(leases, group, items)
    settle(one, two, three)
    assert sorted(len(member.held) for member in (one, two, three)) == [1, 2, 2]
    assert sorted([*one.held, *two.held, *three.held]) == items
    two.leave()
    settle(one, three)
    assert sorted(len(member.held) for member in (one, three)) == [2, 3]
    one.leave()
    three.leave()
    assert set(leases.beat(group, [lease_name(group, item) for item in items]).holders.values()) == {None}


def test_who_takes_all_is_left_alone_until_it_goes(leases: Leases, group: str) -> None:
    worker = Membership(leases, group, ["0", "1"])
    settle(worker)
    ingestion = Membership(leases, group, ["0", "1"], joins=False)
    ingestion.take_all()
    settle(worker)
    assert worker.held == {}
    ingestion.leave()
    settle(worker)
    assert sorted(worker.held) == ["0", "1"]
    worker.leave()


def test_a_member_that_died_is_followed_when_its_leases_lapse(leases: Leases, group: str) -> None:
    names = [lease_name(group, item) for item in ("0", "1")]
    dead: list[Lease | None] = [leases.claim(name, "dead", ttl_ms=SHORT_MS) for name in names]
    assert all(dead)
    leases.beat(group, names, me=Member("dead", SHORT_MS))
    heir = Membership(leases, group, ["0", "1"])

    def took_over() -> bool:
        settle(heir)
        return sorted(heir.held) == ["0", "1"]

    assert eventually(took_over)
    heir.leave()
