"""One contract for what state steps remember, on memory and on every real server."""

import uuid
from collections.abc import Iterator

import pytest

from eagleray.graphs.flows.redis_states import open_states
from eagleray.graphs.flows.states import Exchange, MemoryStates, StateStore


@pytest.fixture(params=["memory", "valkey", "redis_server", "valkey_cluster"])
def states(request: pytest.FixtureRequest) -> Iterator[StateStore]:
    made = MemoryStates() if request.param == "memory" else open_states(request.getfixturevalue(request.param))
    yield made
    made.close()


def value(tag: bytes, rest: bytes = b"") -> bytes:
    return tag.ljust(8, b".") + rest


def test_what_nobody_has_written_since_is_exchanged(states):
    a, b = (f"g:s:{{{uuid.uuid4().hex}}}" for _ in range(2))
    assert states.read([a, b]) == [None, None]
    assert states.exchange([Exchange(a, b"", value(b"one", b"\x00\xff")), Exchange(b, b"........", value(b"two"))]) == [
        True, False,
    ]  # fmt: skip
    assert states.read([b, a]) == [None, value(b"one", b"\x00\xff")]
    newer = [Exchange(a, value(b"one"), value(b"three")), Exchange(b, b"", value(b"two"))]
    assert states.exchange(newer) == [True, True]
    assert states.exchange(newer) == [True, True], "what is asked again because its answer was lost counts as done"
    assert (
        states.exchange([Exchange(a, value(b"one"), value(b"late")), Exchange(b, b"", value(b"late"))]) == [False] * 2
    )
    assert states.read([a, b]) == [value(b"three"), value(b"two")]


def test_more_keys_than_a_call(states):
    keys = [f"g:s:{{{uuid.uuid4().hex}}}" for _ in range(1001)]
    assert states.exchange([Exchange(key, b"", value(b"x", key.encode())) for key in keys]) == [True] * 1001
    assert states.read(keys) == [value(b"x", key.encode()) for key in keys]


def test_a_value_goes_in_its_time(states):
    key = f"g:s:{{{uuid.uuid4().hex}}}"
    assert states.exchange([Exchange(key, b"", value(b"x"), ttl_ms=1)]) == [True]
    while states.read([key]) != [None]:
        pass
    assert states.exchange([Exchange(key, b"", value(b"y"), ttl_ms=600_000)]) == [True]
    assert states.exchange([Exchange(key, value(b"y"), value(b"z"))]) == [True]
    assert states.read([key]) == [value(b"z")]
