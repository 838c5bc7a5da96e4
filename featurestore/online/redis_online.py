"""Adapter: the online store on Redis or Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TypeVar, cast

import redis

from ...runtime import redis_client
from ...runtime.redis_async_link import AsyncRedisLinks
from ...runtime.redis_link import RedisLinks
from ...runtime.settings import Settings
from ..events.leases import Lease, fenced
from ..events.redis_leases import RedisLeases, epoch_key
from .online import TAKEN_MS, TAKER

T = TypeVar("T")
Call = tuple[list[bytes], list[bytes | int]]  # the keys and the arguments of a script
CHUNK_KEYS = 500  # a function blocks the server while it runs: some 1 ms at this size

# Keys: the lease's epoch, then the values' keys. Arguments: the epoch, how many values expire (0 or all of them), the
# values, then when each goes. One MGET and one MSET, since a call from a script costs the server more than the work.
# The last offset stands big-endian in bytes 2-9 of every value, so comparing text compares offsets.
_PUT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('FENCED') end
local sub, count, expiring = string.sub, #KEYS - 1, tonumber(ARGV[2])
local known = redis.call('MGET', unpack(KEYS, 2))
local put, n = {}, 0
for i = 1, count do
  local old, new = known[i], ARGV[i + 2]
  if not old or sub(old, 2, 9) < sub(new, 2, 9) then
    put[n + 1], put[n + 2] = KEYS[i + 1], new
    n = n + 2
    known[i] = 0
  end
end
if n > 0 then redis.call('MSET', unpack(put)) end
for i = 1, expiring do
  if known[i] == 0 and ARGV[i + count + 2] ~= '0' then redis.call('PEXPIREAT', KEYS[i + 1], ARGV[i + count + 2]) end
end
return n / 2
"""


class RedisOnlineStore:
    """One STRING a key; a server-side script checks the lease and the offset of every write."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._links = RedisLinks(client)
        self._async_links = AsyncRedisLinks(client)
        self._put = client.register_script(_PUT)
        self.leases = RedisLeases(client, settings)

    def lease(self, name: str) -> Lease:
        """Takes the lease over for a minute."""
        return self.leases.take(name, TAKER, ttl_ms=TAKEN_MS)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, None where there is none; one MGET."""
        if not keys:
            return []
        try:
            return self._links.values(keys)
        except redis.exceptions.RedisError:
            # A link breaks when the server restarts: the client knows how to wait for it, and whom to blame.
            with redis_client.translated(self._settings):
                return cast("list[bytes | None]", self._client.mget(list(keys)))

    async def aread(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """`read` for coroutines; those of one event loop share a round trip."""
        if not keys:
            return []
        try:
            return await self._async_links.values(keys)
        except redis.exceptions.RedisError:
            return await asyncio.to_thread(self.read, keys)

    def write(
        self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease, expires_ms: Sequence[int] | None = None
    ) -> None:
        """Stores each value unless its key has a newer offset already."""
        epoch, moments = epoch_key(lease.name), iter(expires_ms or ())
        calls: list[Call] = []
        for chunk in chunks(values):
            names, packed = zip(*chunk, strict=True)
            expiring = list(islice(moments, len(chunk)))
            calls.append(([epoch, *names], [lease.epoch, len(expiring), *packed, *expiring]))
        with redis_client.translated(self._settings):
            for (keys, args), reply in zip(calls, self._replies(calls), strict=True):
                try:
                    if _again(reply):
                        self._put(keys=keys, args=args)
                    elif isinstance(reply, redis.exceptions.ResponseError):
                        raise reply
                except redis.exceptions.ResponseError as error:
                    if str(error).removeprefix("ERR ").startswith("FENCED"):
                        raise fenced(lease) from None
                    raise

    def _replies(self, calls: Sequence[Call]) -> Sequence[object]:
        try:
            return self._links.call_each((b"EVALSHA", self._put.sha, len(keys), *keys, *args) for keys, args in calls)
        except redis.exceptions.ConnectionError:
            return [None] * len(calls)

    def close(self) -> None:
        """Gives the connections back."""
        self._links.close()
        self._async_links.close()
        self._client.close()

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so, in steps that do not block the server."""
        gone = 0
        with redis_client.translated(self._settings):
            for chunk in chunks(self._client.scan_iter(match=literal(prefix) + b"*", count=1000)):
                gone += int(self._client.unlink(*chunk))
        return gone

    def remove(self, keys: Sequence[bytes]) -> int:
        """Removes these keys, from the embedded server's append-only file too."""
        with redis_client.translated(self._settings):
            gone = sum(int(self._client.unlink(*chunk)) for chunk in chunks(keys))
            if self._settings.redis_url is None:
                with suppress(redis.exceptions.ResponseError):  # a rewriting goes on already
                    self._client.bgrewriteaof()
        return gone


def _again(reply: object) -> bool:
    """Whether the client must do it: the link broke, or the server does not know the script (the client loads it)."""
    return reply is None or (isinstance(reply, redis.exceptions.ResponseError) and str(reply).startswith("NOSCRIPT"))


def literal(prefix: bytes) -> bytes:
    """The prefix as a pattern that matches nothing else."""
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\" else bytes([c]) for c in prefix)


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """As many at a time as one command may take."""
    ahead = iter(items)
    while chunk := list(islice(ahead, CHUNK_KEYS)):
        yield chunk
