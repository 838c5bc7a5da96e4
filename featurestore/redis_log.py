"""Adapter: the event log on Redis Streams.

An entry holds a batch (Arrow IPC) and its id is the offset of the batch's first event, so ids ascend with
offsets and a reader resumes from an offset alone: consumer groups would keep the same fact a second time.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import cast

import polars as pl
import redis

from ..runtime import redis_client
from ..runtime.settings import Settings
from .log import Batch, DeadLetter, Offsets

_Entries = list[tuple[bytes, dict[bytes, bytes]]]
PARTITIONS = 4
DEAD_LETTERS_KEPT = 10_000
_APPEND = """
local last = redis.call('INCRBY', KEYS[2], ARGV[1])
local first = last - ARGV[1]
redis.call('XADD', KEYS[1], string.format('%d-1', first), 'arrow', ARGV[2])
return first
"""
_ADVANCE = """
local known = tonumber(redis.call('GET', KEYS[1]) or '-1')
if tonumber(ARGV[1]) > known then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""


class RedisLog:
    """One stream and one offset counter a partition, on the same shard by their hash tag.

    How many partitions there are is stored with the log, by whoever opens it first: all agree on it for ever.
    """

    def __init__(self, client: redis.Redis, settings: Settings, *, name: str, partitions: int = PARTITIONS) -> None:
        self._client = client
        self._settings = settings
        self._name = name
        with redis_client.translated(settings):
            pipeline = client.pipeline(transaction=False)
            pipeline.setnx(f"er:partitions:{{{name}}}", partitions)
            pipeline.get(f"er:partitions:{{{name}}}")
            self.partitions = int(pipeline.execute()[1])
        self._append = client.register_script(_APPEND)
        self._advance = client.register_script(_ADVANCE)

    def append(self, parts: Mapping[int, pl.DataFrame]) -> list[Batch]:
        """Adds each partition's events at its next offsets."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for partition, frame in parts.items():
                buffer = io.BytesIO()
                frame.write_ipc_stream(buffer)
                keys = [self._key("log", partition), self._key("next", partition)]
                self._append(keys=keys, args=[frame.height, buffer.getvalue()], client=pipeline)
            first = pipeline.execute()
        return [Batch(partition, int(at), parts[partition]) for partition, at in zip(parts, first, strict=True)]

    def reserve(self, counts: Mapping[int, int]) -> Offsets:
        """Takes offsets; the first of each partition."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for partition, count in counts.items():
                pipeline.incrby(self._key("next", partition), count)
            ends = pipeline.execute()
        return {partition: int(end) - counts[partition] for partition, end in zip(counts, ends, strict=True)}

    def read(self, after: Offsets, *, batches: int) -> list[Batch]:
        """The next batches of each partition, by the ids of their entries."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for partition, offset in after.items():
                pipeline.xrange(self._key("log", partition), min=f"{offset + 1}-0", count=batches)
            answers = pipeline.execute()
        return [
            Batch(partition, int(entry_id.split(b"-")[0]), pl.read_ipc_stream(io.BytesIO(entry[b"arrow"])))
            for partition, entries in zip(after, answers, strict=True)
            for entry_id, entry in entries
        ]

    def ends(self) -> Offsets:
        """The last offset of each partition that was given to an event."""
        return {partition: int(following or 0) - 1 for partition, following in enumerate(self._got("next"))}

    def checkpoints(self) -> Offsets:
        """The last offset of each partition whose effect is stored online."""
        return {partition: -1 if at is None else int(at) for partition, at in enumerate(self._got("checkpoint"))}

    def advance(self, ends: Offsets) -> None:
        """Moves the checkpoints."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for partition, offset in ends.items():
                self._advance(keys=[self._key("checkpoint", partition)], args=[offset], client=pipeline)
            pipeline.execute()

    def trim(self, ends: Offsets) -> None:
        """Drops whole batches that begin at or before the offsets; the caller passes ends of batches."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for partition, offset in ends.items():
                pipeline.xtrim(self._key("log", partition), minid=f"{offset + 1}-0", approximate=False)
            pipeline.execute()

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Puts rows aside in a stream of their own, the newest ten thousand kept."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for letter in letters:
                fields = {b"reason": letter.reason.encode(), b"row": letter.row.encode()}
                pipeline.xadd(self._key("dead", 0), fields, maxlen=DEAD_LETTERS_KEPT)  # type: ignore[arg-type]
            pipeline.execute()

    def buried(self, *, most: int = 100) -> list[DeadLetter]:
        """The rows put aside, newest last."""
        with redis_client.translated(self._settings):
            entries = cast(_Entries, self._client.xrevrange(self._key("dead", 0), count=most))
        found = [DeadLetter(entry[b"reason"].decode(), entry[b"row"].decode()) for _, entry in entries]
        return found[::-1]

    def _got(self, kind: str) -> list[bytes | None]:
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for partition in range(self.partitions):
                pipeline.get(self._key(kind, partition))
            return pipeline.execute()

    def _key(self, kind: str, partition: int) -> str:
        return f"er:{kind}:{{{self._name}:{partition}}}"
