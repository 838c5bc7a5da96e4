"""Adapter: events of a stream made null where they stand.

An entry of a stream cannot be changed and ids only ascend, so the stream is written anew, with the ids it had, in one
transaction; what is appended meanwhile makes it begin again.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import redis

from .log import blanked
from .log_entry import batch_of, packed


def blank(client: redis.Redis, stream: str, *, held: str, where: pl.Expr, place: tuple[int, int]) -> list[pl.DataFrame]:
    """The events as they were; `held` names the counter of the stream's bytes, on the same shard.

    `place` is the stream's partition, and of how many.
    """
    with client.pipeline(transaction=True) as pipeline:
        while True:
            pipeline.watch(stream)  # type: ignore[no-untyped-call]
            gone, entries, grown = _blanked(pipeline.xrange(stream), where, place)
            if not gone:
                return []
            pipeline.multi()
            pipeline.delete(stream)
            for entry_id, entry in entries:
                pipeline.xadd(stream, entry, id=entry_id)
            pipeline.hincrby(held, "bytes", grown)
            try:
                pipeline.execute()
            except redis.exceptions.WatchError:
                continue
            return gone


def _blanked(
    found: Any, where: pl.Expr, place: tuple[int, int]
) -> tuple[list[pl.DataFrame], list[tuple[bytes, dict[Any, Any]]], int]:
    gone, entries, grown = [], [], 0
    for entry_id, entry in found:
        try:
            partition, partitions = place
            batch = batch_of(entry[b"arrow"], place=(partition, 0), events=int(entry[b"n"]), partitions=partitions)
            erased = batch.frame.filter(where)
        except (KeyError, ValueError, pl.exceptions.PolarsError, OSError):
            entries.append((entry_id, entry))  # foreign, or of another schema: who reads it puts it aside
            continue
        if erased.height:
            gone.append(erased)
            # What was staged elsewhere lies in the log from now on.
            kept = packed(blanked(batch.frame, where), mark=batch.mark)
            grown += len(kept) - len(entry[b"arrow"])
            entry = {b"n": entry[b"n"], b"arrow": kept}
        entries.append((entry_id, entry))
    return gone, entries, grown
