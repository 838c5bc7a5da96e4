"""Adapter: what state steps remember, on Redis or Valkey or a cluster of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import redis
from redis.crc import key_slot

from ...featurestore.definitions.registry import Registry
from ...runtime import redis_client
from ...runtime.settings import Settings
from .states import Exchange

if TYPE_CHECKING:
    from .states import StateStore

_RETRIES = 6
_KEYS_A_CALL = 500  # a script blocks the server while it runs
# Keys: those of the values. Arguments, three a key: the tag that was seen, the new value, when it goes. A tag that is
# the new value's own was put by this very call, whose answer was lost.
_EXCHANGE = """
local done = {}
for i, key in ipairs(KEYS) do
  local seen, value, ttl = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local tag = redis.call('GETRANGE', key, 0, 7)
  done[i] = 1
  if tag == seen then
    if ttl == '0' then redis.call('SET', key, value) else redis.call('SET', key, value, 'PX', ttl) end
  elseif tag ~= string.sub(value, 1, 8) then
    done[i] = 0
  end
end
return done
"""


class RedisStates:
    """One STRING a key, under a catalog's namespace."""

    def __init__(self, client: redis.Redis | redis.RedisCluster, settings: Settings, *, namespace: str) -> None:
        self._client = cast("redis.Redis", client)
        self._settings = settings
        self._head = f"er:{namespace}:state:"
        self._exchange = self._client.register_script(_EXCHANGE)
        self._is_clustered = isinstance(client, redis.RedisCluster)

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values, None where there is none."""
        names = [self._name(key) for key in keys]
        found: list[bytes | None] = [None] * len(names)
        with redis_client.translated(self._settings):
            for places in self._calls(names):
                values: Any = self._client.mget([names[at] for at in places])
                for at, value in zip(places, values, strict=True):
                    found[at] = value
        return found

    def exchange(self, exchanges: Sequence[Exchange]) -> list[bool]:
        """Which of them were done."""
        names = [self._name(one.key) for one in exchanges]
        done = [False] * len(names)
        with redis_client.translated(self._settings):
            for places in self._calls(names):
                told = [part for at in places for part in _arguments(exchanges[at])]
                replies: Any = self._exchange(keys=[names[at] for at in places], args=told)
                for at, reply in zip(places, replies, strict=True):
                    done[at] = bool(reply)
        return done

    def close(self) -> None:
        """Gives the connections back."""
        self._client.close()

    def _name(self, key: str) -> str:
        return f"{self._head}{key}"

    def _calls(self, names: Sequence[str]) -> list[list[int]]:
        """The places that one command may name together."""
        if not self._is_clustered:
            places = range(len(names))
            return [list(places[first : first + _KEYS_A_CALL]) for first in range(0, len(names), _KEYS_A_CALL)]
        slots: dict[int, list[int]] = {}
        for place, name in enumerate(names):
            slots.setdefault(key_slot(name.encode()), []).append(place)
        return list(slots.values())


def _arguments(one: Exchange) -> tuple[bytes, bytes, int]:
    return one.seen, one.value, one.ttl_ms


def namespace_of(settings: Settings) -> str:
    """What tells the keys of this catalog's graphs from those of others on the same server."""
    from ...runtime.sql_catalog import Catalog

    catalog = Catalog(settings.catalog)
    try:
        return Registry(catalog).namespace
    finally:
        catalog.close()


def open_states(settings: Settings) -> StateStore:
    """The states on the server (or the cluster) of online features; raises `ServerUnavailable`."""
    if settings.online_url is not None:
        settings = replace(settings, redis_url=settings.online_url)
    client = redis_client.connect(settings, retries=_RETRIES)
    namespace = namespace_of(settings)
    if not redis_client.clustered(client, settings):
        return RedisStates(client, settings, namespace=namespace)
    client.close()
    return RedisStates(redis_client.connect_cluster(settings), settings, namespace=namespace)
