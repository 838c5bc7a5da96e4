"""Adapter: a Redis stream that other programs write with XADD as an event source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from ...runtime import redis_client
from ...runtime.errors import DefinitionError, InputError
from ...runtime.settings import Settings
from ..events.log import DeadLetter
from .event_source import Fetched
from .messages import row_of_fields

_Entries = list[tuple[bytes, dict[bytes, bytes]]]
# An id is milliseconds and a number within one; both make one position, exact also where a server counts in doubles.
MOST_A_MS = 4096
_LARGEST_MS = 2**53 // MOST_A_MS - 1
_SHOWN_BYTES = 2_000
MOST_COUNTED = 100_000
_COUNT = "return #redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])"


class RedisSource:
    """One stream, one part; it is only read, so its owner trims it."""

    def __init__(self, address: str, schema: Mapping[str, str] | None) -> None:
        parts = urlsplit(address)
        path = parts.path.strip("/").split("/", 1)
        database, stream = path if len(path) == 2 and path[0].isdigit() else ("0", parts.path.strip("/"))
        if not parts.hostname or not stream:
            raise DefinitionError(f"source redis://{parts.hostname or ''}: write redis://HOST:PORT/STREAM")
        self._schema = None if schema is None else dict(schema)
        self._stream = stream
        self._settings = Settings(home=Path(), redis_url=urlunsplit(parts._replace(path=f"/{database}")))
        self._client = redis_client.connect(self._settings, retries=2)
        self._count = self._client.register_script(_COUNT)
        self.name = f"redis://{parts.hostname}:{parts.port or 6379}/{database}/{stream}"

    def parts(self) -> list[str]:
        """One."""
        return ["0"]

    def fetch(self, part: str, after: int, *, most: int) -> Fetched | None:
        """The next entries."""
        begin = "-" if after < 0 else f"({after // MOST_A_MS}-{after % MOST_A_MS}"
        with redis_client.translated(self._settings):
            entries = cast(_Entries, self._client.xrange(self._stream, min=begin, count=most))
        if not entries:
            return None
        rows, positions, letters = [], [], []
        position = after
        for entry_id, fields in entries:
            position = self._position(entry_id)
            try:
                rows.append(row_of_fields(fields, self._schema))
                positions.append(position)
            except InputError as error:
                letters.append(DeadLetter(f"{self.name} {entry_id.decode()}: {error}", _shown(fields)))
        return Fetched(rows, np.array(positions, dtype=np.int64), tuple(letters), position)

    def waiting(self, part: str, after: int) -> int:
        """How many entries lie beyond the position, counted up to `MOST_COUNTED`."""
        begin = "-" if after < 0 else f"({after // MOST_A_MS}-{after % MOST_A_MS}"
        with redis_client.translated(self._settings):
            return int(cast(int, self._count(keys=[self._stream], args=[begin, MOST_COUNTED])))

    def close(self) -> None:
        """Gives the connection back."""
        self._client.close()

    def _position(self, entry_id: bytes) -> int:
        ms, number = (int(part) for part in entry_id.split(b"-"))
        if number >= MOST_A_MS or ms > _LARGEST_MS:
            raise InputError(
                f"{self.name}: entry {entry_id.decode()} is beyond {MOST_A_MS} entries a millisecond; write it slower"
            )
        return ms * MOST_A_MS + number


def _shown(fields: Mapping[bytes, bytes]) -> str:
    text = [[part[:_SHOWN_BYTES].decode(errors="backslashreplace") for part in pair] for pair in fields.items()]
    return json.dumps(dict(text))
