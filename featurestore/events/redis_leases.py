"""Adapter: leases on Redis or Valkey, each step one server-side script on the server's clock."""

from __future__ import annotations

from collections.abc import Sequence

import redis

from ...runtime import redis_client
from ...runtime.settings import Settings
from .leases import Lease, Member, Roll

_TAKE = """
local holder = redis.call('GET', KEYS[1])
if ARGV[3] == '0' and holder and holder ~= ARGV[1] then return -1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('INCR', KEYS[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[2]) == ARGV[2] and redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""
# Keys: members, notes, then holder and epoch of each name. Arguments: owner ('' only looks), time to live, joins, note,
# then the epoch that the owner believes to hold of each name, '' for none.
_BEAT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me, ttl = ARGV[1], ARGV[2]
if me ~= '' then
  if ARGV[3] == '1' then
    redis.call('ZADD', KEYS[1], now + ttl, me)
    redis.call('HSET', KEYS[2], me, ARGV[4])
  end
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZREM', KEYS[1], gone)
    redis.call('HDEL', KEYS[2], gone)
  end
end
local holders = {}
for i = 3, #KEYS, 2 do
  local epoch = ARGV[5 + (i - 3) / 2]
  local holder = redis.call('GET', KEYS[i])
  if epoch ~= '' and redis.call('GET', KEYS[i + 1]) == epoch and (not holder or holder == me) then
    redis.call('SET', KEYS[i], me, 'PX', ttl)
    holder = me
  end
  holders[#holders + 1] = holder or ''
end
local members, notes = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf'), {}
for i, member in ipairs(members) do notes[i] = redis.call('HGET', KEYS[2], member) or '' end
return {members, notes, holders}
"""


class RedisLeases:
    """A holder key that expires and an epoch that only grows, a lease; a sorted set of members, a group."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._take = client.register_script(_TAKE)
        self._release = client.register_script(_RELEASE)
        self._beat = client.register_script(_BEAT)

    def take(self, name: str, owner: str, *, ttl_ms: int) -> Lease:
        """Takes the lease over."""
        with redis_client.translated(self._settings):
            return Lease(name, int(self._take(keys=[_holder(name), epoch_key(name)], args=[owner, ttl_ms, 1])), owner)

    def claim(self, name: str, owner: str, *, ttl_ms: int) -> Lease | None:
        """Takes the lease when nobody else holds it."""
        with redis_client.translated(self._settings):
            epoch = int(self._take(keys=[_holder(name), epoch_key(name)], args=[owner, ttl_ms, 0]))
        return None if epoch < 0 else Lease(name, epoch, owner)

    def release(self, lease: Lease) -> None:
        """Gives it back."""
        with redis_client.translated(self._settings):
            self._release(keys=[_holder(lease.name), epoch_key(lease.name)], args=[lease.owner, lease.epoch])

    def beat(self, group: str, names: Sequence[str], *, me: Member | None = None) -> Roll:
        """Keeps the member alive and tells who else is there."""
        keys = [f"er:members:{{{group}}}".encode(), f"er:notes:{{{group}}}".encode()]
        for name in names:
            keys += [_holder(name), epoch_key(name)]
        said = ("", 0, 0, "") if me is None else (me.owner, me.ttl_ms, int(me.joins), me.note)
        held = {} if me is None else me.held
        with redis_client.translated(self._settings):
            answer = self._beat(keys=keys, args=[*said, *(held.get(name, "") for name in names)])
        members, notes, holders = answer
        return Roll(
            {owner.decode(): note.decode() for owner, note in zip(members, notes, strict=True)},
            {name: holder.decode() or None for name, holder in zip(names, holders, strict=True)},
        )

    def leave(self, group: str, owner: str) -> None:
        """The member goes now."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zrem(f"er:members:{{{group}}}", owner)
            pipeline.hdel(f"er:notes:{{{group}}}", owner)
            pipeline.execute()


def epoch_key(name: str) -> bytes:
    """Where a lease's epoch lies: what a write compares."""
    return b"er:lease:" + _tagged(name)


def _holder(name: str) -> bytes:
    return b"er:holder:" + _tagged(name)


def _tagged(name: str) -> bytes:
    # On a cluster the two keys of a lease must lie together.
    return name.encode() if "{" in name else f"{{{name}}}".encode()
