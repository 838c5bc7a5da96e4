"""Adapter: answers as entries of a Redis stream, with the fields `id` and `answer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis

from ...runtime import redis_client
from ...runtime.errors import DefinitionError
from ...runtime.settings import Settings
from .answers import Answer, lost

# Keys: the stream, and how far each source has come with it. Arguments: the source, how many entries are kept, since
# and up to which offset these are all, then offset, id and answer of each.
_PUT = """
local come = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '-1')
if come < tonumber(ARGV[3]) then return 0 end
for i = 5, #ARGV, 3 do
  if tonumber(ARGV[i]) > come then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'id', ARGV[i + 1], 'answer', ARGV[i + 2])
  end
end
if tonumber(ARGV[4]) > come then redis.call('HSET', KEYS[2], ARGV[1], ARGV[4]) end
return 1
"""
_ANSWERS_A_CALL = 500
ENTRIES_KEPT = 1_000_000
_RETRIES = 12


class RedisAnswers:
    """One stream; a place beside it tells what it has had of each source."""

    def __init__(self, client: redis.Redis, settings: Settings, *, stream: str) -> None:
        self._client = client
        self._settings = settings
        self._keys = [stream, f"er:answered:{{{stream}}}"]
        self._put = client.register_script(_PUT)

    def come(self, source: str) -> int:
        """The offset up to which it has the source's answers."""
        with redis_client.translated(self._settings):
            found: Any = self._client.hget(self._keys[1], source)
        return -1 if found is None else int(found)

    def put(self, source: str, answers: Sequence[Answer], *, since: int, upto: int) -> None:
        """Adds the answers that it has not yet, some hundreds a call."""
        with redis_client.translated(self._settings):
            for first in range(0, max(1, len(answers)), _ANSWERS_A_CALL):
                some = answers[first : first + _ANSWERS_A_CALL]
                to = upto if first + _ANSWERS_A_CALL >= len(answers) else some[-1].offset
                told = [part for one in some for part in _told(one)]
                if not self._put(keys=self._keys, args=[source, ENTRIES_KEPT, since, to, *told]):
                    raise lost(source)
                since = to

    def close(self) -> None:
        """Gives the connection back."""
        self._client.close()


def _told(one: Answer) -> tuple[int, str, bytes]:
    return one.offset, one.id, one.data


def open_answers(address: str, settings: Settings) -> RedisAnswers:
    """The stream of that name on the server of the settings, or the one at `redis://HOST:PORT/[DB/]STREAM`.

    Raises `DefinitionError`, `ServerUnavailable`.
    """
    where, stream = settings, address
    if "://" in address:
        parts = urlsplit(address)
        database, _, rest = parts.path.strip("/").partition("/")
        stream = rest or database
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or not stream:
            raise DefinitionError(f"answers={address!r}: write redis://HOST:PORT/STREAM, or the stream's name alone")
        number = database if rest and database.isdigit() else "0"
        where = replace(settings, home=Path(), redis_url=urlunsplit(parts._replace(path=f"/{number}")))
    return RedisAnswers(redis_client.connect(where, retries=_RETRIES), where, stream=stream)
