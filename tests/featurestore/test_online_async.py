"""Reading online from coroutines: the same answers, many at once, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.wanted import resolve
from eagleray.featurestore.online.online import MemoryOnlineStore, OnlineStore
from eagleray.featurestore.online.online_read import VectorReader
from eagleray.featurestore.online.redis_online import RedisOnlineStore
from eagleray.featurestore.online.redis_open_online import open_online
from eagleray.runtime import redis_client
from eagleray.runtime.errors import ServerUnavailable
from eagleray.runtime.settings import Settings

from .bench import Bench, memory_stores


@pytest.fixture(params=["memory", "valkey", "redis_server", "valkey_cluster"])
def online(request: pytest.FixtureRequest) -> Iterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryOnlineStore()
        return
    store = open_online(request.getfixturevalue(request.param))
    yield store
    store.close()


def filled(online: OnlineStore, count: int) -> list[bytes]:
    keys = [uuid.uuid4().bytes for _ in range(count)]
    values = [(key, b"\x02" + place.to_bytes(8, "big") + key) for place, key in enumerate(keys, 1)]
    online.write(values, lease=online.lease(uuid.uuid4().hex))
    return keys


def test_coroutines_read_what_threads_read(online: OnlineStore) -> None:
    keys = [*filled(online, 3), b"nobody"]
    expected = online.read(keys)

    async def ask() -> None:
        assert await online.aread(keys) == expected
        assert await online.aread([]) == []
        found = await asyncio.gather(*(online.aread(keys[place % 4 :]) for place in range(200)))
        assert all(values == expected[place % 4 :] for place, values in enumerate(found))

    asyncio.run(ask())
    asyncio.run(ask())  # another loop, another link


def test_large_answers_and_requests_come_whole(online: OnlineStore) -> None:
    keys = filled(online, 40)
    lease = online.lease(uuid.uuid4().hex)
    big = [(key, b"\x02" + (99).to_bytes(8, "big") + key * 6000) for key in keys]
    online.write(big, lease=lease)

    async def ask() -> None:
        found = await asyncio.gather(*(online.aread(keys * 30) for _ in range(3)))
        assert all(values == [value for _, value in big] * 30 for values in found)

    asyncio.run(ask())


def test_a_cancelled_request_leaves_the_others_their_answers(online: OnlineStore) -> None:
    keys = filled(online, 5)

    async def ask() -> None:
        await online.aread(keys)
        tasks = [asyncio.ensure_future(online.aread([key])) for key in keys]
        await asyncio.sleep(0)  # all have asked, none has its answer
        tasks[1].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(values, asyncio.CancelledError) for values in found] == [False, True, False, False, False]
        assert [values for place, values in enumerate(found) if place != 1] == [
            online.read([key]) for place, key in enumerate(keys) if place != 1
        ]

    if not isinstance(online, MemoryOnlineStore):
        asyncio.run(ask())


@pytest.mark.parametrize("server", ["valkey", "redis_server"], indirect=True)
def test_a_broken_connection_is_made_again(server: Settings) -> None:
    used = redis_client.connect(server, retries=3)
    online = RedisOnlineStore(used, server)
    keys = filled(online, 3)

    async def ask() -> None:
        expected = online.read(keys)
        for _ in range(2):
            assert await asyncio.gather(*(online.aread(keys) for _ in range(9))) == [expected] * 9
            with redis_client.connect(server) as other:
                other.client_kill_filter(_type="normal", skipme=True)
        assert await asyncio.gather(*(online.aread(keys) for _ in range(9))) == [expected] * 9

    asyncio.run(ask())
    online.close()


def test_a_server_that_is_gone_is_one_clear_error(redis_server: Settings) -> None:
    client = redis_client.connect(redis_server)
    client.connection_pool.disconnect()
    client.connection_pool.reset()
    client.connection_pool.connection_kwargs["port"] = 1
    online = RedisOnlineStore(client, redis_server)
    with pytest.raises(ServerUnavailable, match="EAGLERAY_REDIS_URL"):
        asyncio.run(online.aread([b"x"]))


def test_a_vector_is_read_by_coroutines() -> None:
    bench = Bench(FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}), memory_stores())
    bench.stream([{"k": "a", "ts": 1, "x": 2.5}])
    vector = FeatureVector("v", ["f:*"])
    reader = VectorReader(vector, resolve(vector, lambda _: bench.applied), bench.stores.online)
    assert asyncio.run(reader.aget([{"k": "a"}, {"k": "b"}])).to_dict() == {"f__x": [2.5, None]}
    assert asyncio.run(reader.aread([{"k": "a"}])).tolist() == [[2.5]]
