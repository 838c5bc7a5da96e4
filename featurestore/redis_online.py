"""Adapter: the online store on Redis or Valkey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TypeVar, cast

import redis

from ..runtime import redis_client
from ..runtime.redis_link import RedisLinks
from ..runtime.settings import Settings
from .leases import Lease, fenced
from .online import TAKEN_MS, TAKER
from .redis_leases import RedisLeases, epoch_key

T = TypeVar("T")
CHUNK_KEYS = 500  # a function blocks the server while it runs: some 1 ms at this size

# The last offset stands big-endian in bytes 2-9 of every value, so comparing text compares offsets.
_PUT = """
local epoch = tonumber(redis.call('GET', KEYS[1]) or '0')
if epoch ~= tonumber(ARGV[1]) then return redis.error_reply('FENCED') end
for i = 2, #KEYS do
  local known = redis.call('GETRANGE', KEYS[i], 1, 8)
  if known == '' or known < string.sub(ARGV[i], 2, 9) then redis.call('SET', KEYS[i], ARGV[i]) end
end
return #KEYS - 1
"""


class RedisOnlineStore:
    """One STRING a key; a server-side script checks the lease and the offset of every write."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._links = RedisLinks(client)
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

    def write(self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease) -> None:
        """Stores each value unless its key has a newer offset already."""
        with redis_client.translated(self._settings):
            for chunk in _chunks(values):
                keys = [epoch_key(lease.name), *(key for key, _ in chunk)]
                try:
                    self._put(keys=keys, args=[lease.epoch, *(value for _, value in chunk)])
                except redis.exceptions.ResponseError as error:
                    if str(error).startswith("FENCED"):
                        raise fenced(lease) from None
                    raise

    def close(self) -> None:
        """Gives the connections back."""
        self._links.close()
        self._client.close()

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so, in steps that do not block the server."""
        gone = 0
        with redis_client.translated(self._settings):
            for chunk in _chunks(self._client.scan_iter(match=_literal(prefix) + b"*", count=1000)):
                gone += int(self._client.unlink(*chunk))
        return gone

    def remove(self, keys: Sequence[bytes]) -> int:
        """Removes these keys, from the embedded server's append-only file too."""
        with redis_client.translated(self._settings):
            gone = sum(int(self._client.unlink(*chunk)) for chunk in _chunks(keys))
            if self._settings.redis_url is None:
                with suppress(redis.exceptions.ResponseError):  # a rewriting goes on already
                    self._client.bgrewriteaof()
        return gone


def _literal(prefix: bytes) -> bytes:
    return b"".join(b"\\" + bytes([c]) if c in b"*?[]\\" else bytes([c]) for c in prefix)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    ahead = iter(items)
    while chunk := list(islice(ahead, CHUNK_KEYS)):
        yield chunk
