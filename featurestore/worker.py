"""The worker of one feature set version: takes batches from the log to the offline and the online store.

Each store knows by itself how far it got (Delta transactions, the offset in every value's header), so a
batch may be worked through any number of times, after any crash, and counts once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from .catalog import AppliedSet
from .engine import Events, advance
from .entity import frame_keys
from .feature_set import FeatureSet
from .ingest import transformed
from .log import Batch, EventLog
from .offline import APPLIED, OFFSET, PARTITION, OfflineStore
from .online import Lease, OnlineStore
from .schema import POLARS
from .states import decode, encode

BATCHES_A_STEP = 64
KEYS_A_STEP = 20_000  # bounds memory: a step holds the states of this many keys at once


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a worker reads and writes."""

    online: OnlineStore
    offline: OfflineStore
    log: EventLog


class Worker:
    """Sole writer of one feature set version as long as nobody takes its lease."""

    def __init__(self, feature_set: FeatureSet, applied: AppliedSet, stores: Stores) -> None:
        self._set = feature_set
        self._applied = applied
        self._stores = stores
        self._lease: Lease = stores.online.lease(applied.full_name)
        self._unsaved: list[pl.DataFrame] = []
        # Only this worker moves the checkpoints from here on, so reading them once is enough.
        self._online_at: dict[int, int] = dict(stores.log.checkpoints())
        self._recover()

    def drain(self) -> int:
        """Works through all that the log holds; the number of events."""
        done = 0
        while batches := self._stores.log.read(self._online_at, batches=BATCHES_A_STEP):
            made = [self._made(batch) for batch in batches]
            done += self._put_online(made, batches)
            self._unsaved += made
        return done

    def save(self) -> None:
        """Writes what went online since the last save to the offline table, in one commit, and trims the log."""
        if not self._unsaved:
            return
        frame = pl.concat(self._unsaved)
        ends = {int(p): int(o) for p, o in frame.group_by(PARTITION).agg(pl.col(OFFSET).max()).iter_rows()}
        self._stores.offline.append(self._applied.full_name, frame, last_offsets=ends)
        self._unsaved.clear()
        self._stores.log.trim(ends)

    def online_at(self, partition: int) -> int:
        """The last offset of the partition that is online, -1 for none."""
        return self._online_at[partition]

    @property
    def unsaved_events(self) -> int:
        """Events that are online and in the log but not yet in the offline table."""
        return sum(frame.height for frame in self._unsaved)

    def _recover(self) -> None:
        """Brings each store to where the other one is, after a worker died between the two."""
        log, offline, table = self._stores.log, self._stores.offline, self._applied.full_name
        for partition, online_at in self._online_at.items():
            saved_at = offline.last_offset(table, partition)
            if saved_at > online_at:
                missing = offline.read(
                    table,
                    [*self._applied.columns, PARTITION, OFFSET, APPLIED],
                    where=(pl.col(PARTITION) == partition) & (pl.col(OFFSET) > online_at),
                )
                self._put_online([missing], [])
                self._advance({partition: saved_at})
            elif saved_at < online_at:
                batches = log.read({partition: saved_at}, batches=1_000_000)
                self._unsaved += [self._made(batch) for batch in batches if batch.last <= online_at]
        self.save()

    def _made(self, batch: Batch) -> pl.DataFrame:
        frame, good, letters = transformed(self._set, batch.frame)
        if letters:
            self._stores.log.bury(letters)
        applied = pl.lit(time.time_ns() // 1000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return frame.select(
            *(pl.col(name).cast(POLARS[dtype]) for name, dtype in self._applied.columns.items()),
            pl.lit(batch.partition, dtype=pl.Int32).alias(PARTITION),
            pl.int_range(batch.first, batch.first + frame.height, dtype=pl.Int64).alias(OFFSET),
            applied.alias(APPLIED),
        ).filter(good)

    def _put_online(self, made: list[pl.DataFrame], batches: list[Batch]) -> int:
        done = 0
        for keys, events in self._steps(pl.concat(made)) if made else ():
            states = decode(self._stores.online.read(keys), self._applied.layout)
            values = encode(advance(states, events, self._applied.layout), self._applied.layout)
            self._stores.online.write(zip(keys, values, strict=True), lease=self._lease)
            done += len(events)
        self._advance({batch.partition: batch.last for batch in batches})
        return done

    def _advance(self, ends: dict[int, int]) -> None:
        self._stores.log.advance(ends)
        self._online_at |= ends

    def _steps(self, frame: pl.DataFrame) -> Iterator[tuple[list[bytes], Events]]:
        """The events in groups of whole keys, each with the online keys its codes stand for."""
        if not frame.height:
            return
        # One dictionary encoding gives codes in order of first appearance, whatever the keys' types are.
        keys = frame_keys(self._applied.entities, frame)
        distinct = keys.unique(maintain_order=True)
        codes = keys.replace_strict(distinct, pl.Series(np.arange(len(distinct))), return_dtype=pl.Int64).to_numpy()
        names = [self._applied.online_key(key) for key in distinct.to_list()]
        ts_us = frame[self._applied.timestamp].dt.epoch("us").to_numpy()
        offsets = frame[OFFSET].to_numpy()
        for first in range(0, len(names), KEYS_A_STEP):
            inside = np.flatnonzero((codes >= first) & (codes < first + KEYS_A_STEP))
            yield (
                names[first : first + KEYS_A_STEP],
                Events(codes[inside] - first, ts_us[inside], offsets[inside], frame[inside]),
            )
