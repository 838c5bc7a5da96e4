"""Adapter: the online store on a cluster of Redis or Valkey servers: one round trip a shard, all shards at once.

An entity's keys carry its name in braces, so they lie on one shard together; a command may name keys of one slot
only, so each shard is sent one command a slot, all in one go. A script cannot see a lease that lies on another shard:
the lease is looked up before each chunk, and each key's offset is checked on the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import cast

import redis
from redis.crc import key_slot

from ...runtime import redis_client
from ...runtime.redis_link import Part, RedisLinks, exchange_all
from ...runtime.settings import Settings
from ..events.leases import Lease, fenced
from ..events.redis_leases import RedisLeases, epoch_key
from .online import TAKEN_MS, TAKER
from .redis_online import Call, chunks, literal

_PUT = """
local sub, count = string.sub, #KEYS
for i = 1, count do
  local known = redis.call('GETRANGE', KEYS[i], 1, 8)
  if known == '' or known < sub(ARGV[i], 2, 9) then
    redis.call('SET', KEYS[i], ARGV[i])
    if ARGV[i + count] ~= '0' then redis.call('PEXPIREAT', KEYS[i], ARGV[i + count]) end
  end
end
return count
"""
Command = tuple[Part, ...]


class RedisClusterOnlineStore:
    """One STRING a key, on the shard of its entity."""

    def __init__(self, client: redis.RedisCluster, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._links: dict[str, RedisLinks] = {}
        self._put = client.register_script(_PUT)
        self.leases = RedisLeases(cast("redis.Redis", client), settings)

    def lease(self, name: str) -> Lease:
        """Takes the lease over for a minute."""
        return self.leases.take(name, TAKER, ttl_ms=TAKEN_MS)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, None where there is none; one round trip to each shard."""
        slots = _by_slot(keys)
        found: list[bytes | None] = [None] * len(keys)
        commands = [(slot, (b"MGET", *(keys[at] for at in places))) for slot, places in slots.items()]
        for places, reply in zip(slots.values(), self._replies(commands), strict=True):
            if not isinstance(reply, list):
                # A slot has moved or a shard is gone: the client finds out which, and waits for it.
                with redis_client.translated(self._settings):
                    reply = self._client.mget([keys[at] for at in places])
            for at, value in zip(places, reply, strict=True):
                found[at] = value
        return found

    async def aread(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """`read` for coroutines, in a thread."""
        return await asyncio.to_thread(self.read, keys) if keys else []

    def write(
        self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease, expires_ms: Sequence[int] | None = None
    ) -> None:
        """Stores each value unless its key has a newer offset already."""
        done = 0
        for chunk in chunks(values):
            with redis_client.translated(self._settings):
                if self._client.get(epoch_key(lease.name)) != b"%d" % lease.epoch:
                    raise fenced(lease)
            moments = expires_ms[done : done + len(chunk)] if expires_ms else [0] * len(chunk)
            done += len(chunk)
            slots = _by_slot([key for key, _ in chunk])
            calls: list[Call] = [
                ([chunk[at][0] for at in places], [*(chunk[at][1] for at in places), *(moments[at] for at in places)])
                for places in slots.values()
            ]
            commands: list[tuple[int, Command]] = [
                (slot, (b"EVALSHA", self._put.sha, len(keys), *keys, *args))
                for slot, (keys, args) in zip(slots, calls, strict=True)
            ]
            for (keys, args), reply in zip(calls, self._replies(commands), strict=True):
                if not isinstance(reply, int):
                    with redis_client.translated(self._settings):
                        self._put(keys=keys, args=args)

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so, on all shards."""
        gone = 0
        with redis_client.translated(self._settings):
            for chunk in chunks(self._client.scan_iter(match=literal(prefix) + b"*", count=1000)):
                gone += int(self._client.unlink(*chunk))
        return gone

    def remove(self, keys: Sequence[bytes]) -> int:
        """Removes these keys for good."""
        with redis_client.translated(self._settings):
            return sum(int(self._client.unlink(*chunk)) for chunk in chunks(keys))

    def close(self) -> None:
        """Gives the connections back."""
        for links in self._links.values():
            links.close()
        self._client.close()

    def _replies(self, commands: Sequence[tuple[int, Command]]) -> list[object]:
        """The replies in the order of the commands, each of one slot; where a shard does not answer, its error."""
        shards: dict[str, list[int]] = {}
        try:
            for place, (slot, _) in enumerate(commands):
                node = self._client.nodes_manager.get_node_from_slot(slot)
                if node.name not in self._links:
                    self._links[node.name] = RedisLinks(self._client.get_redis_connection(node))
                shards.setdefault(node.name, []).append(place)
            asked = [(self._links[name], [commands[at][1] for at in places]) for name, places in shards.items()]
            answers = exchange_all(asked)
        except (redis.exceptions.RedisError, redis.exceptions.RedisClusterException) as error:
            return [error] * len(commands)
        replies: list[object] = [None] * len(commands)
        for places, answer in zip(shards.values(), answers, strict=True):
            for at, reply in zip(places, answer, strict=True):
                replies[at] = reply
        return replies


def _by_slot(keys: Sequence[bytes]) -> dict[int, list[int]]:
    """The places of the keys of each slot."""
    slots: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        slots.setdefault(key_slot(key), []).append(place)
    return slots
