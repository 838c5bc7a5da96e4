"""A relay: takes what one feature set has to the log of a set derived from it, each event once.

It reads the source's log, and the source's offline table where the log is trimmed already, so a set that is derived
late catches up by itself. How far each partition of the derived log is stands in that log, moved in the very step that
adds the events, and in the offline table, by their marks: a relay that dies, or two at once, neither lose nor double.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from ...runtime.errors import Fenced
from ..definitions.catalog import AppliedSet
from ..definitions.feature_set import FeatureSet
from ..events.placing import BUCKETS, places
from ..offline.offline import APPLIED, OFFSET, PARTITION
from .ingest import accept
from .made import made_of
from .worker import Stores

EVENTS_A_STEP = 50_000


@dataclass(frozen=True, slots=True)
class End:
    """One feature set version and its stores: where a relay begins, or where it leads."""

    feature_set: FeatureSet
    applied: AppliedSet
    stores: Stores


class Relay:
    """Leads from `source` to `derived`; `now_us` is the clock of ingestion."""

    def __init__(self, source: End, derived: End, *, now_us: Callable[[], int]) -> None:
        self._source = source
        self._derived = derived
        self._now_us = now_us
        self._at: dict[int, dict[int, int]] = {}  # by partition of the source, that of the derived log

    def drain(self) -> int:
        """Takes over all that the source has; the number of events."""
        done = 0
        while count := self.step():
            done += count
        return done

    def step(self) -> int:
        """Takes over the next events of each partition; how many were looked at, 0 when there are none."""
        return sum(self._step(partition) for partition in range(self._source.stores.log.partitions))

    def _step(self, partition: int) -> int:
        at = self._at.setdefault(partition, {}) or self._look(partition)
        since = min(at.values())
        found = self._next(partition, since)
        if found is None:
            return 0
        rows, upto = found
        try:
            self._hand_over(partition, rows, at, upto)
        except Fenced:  # another relay was there first: go on from where it is
            self._look(partition)
            return 1
        self._at[partition] = dict.fromkeys(at, upto)
        return upto - since

    def _look(self, partition: int) -> dict[int, int]:
        name, log, table = self._name(partition), self._derived.stores.log, self._derived.applied.full_name
        offline = self._derived.stores.offline
        at = {home: max(end, offline.taken(table, name, home) - 1) for home, end in log.relayed(name).items()}
        self._at[partition] = at
        return at

    def _next(self, partition: int, since: int) -> tuple[pl.DataFrame, int] | None:
        """The source's events after `since` as its offline table holds them, and the offset they reach."""
        applied, stores = self._source.applied, self._source.stores
        columns = [*applied.columns, PARTITION, OFFSET, APPLIED]
        batches = stores.log.read({partition: since}, events=EVENTS_A_STEP)
        if batches and batches[0].first == since + 1:
            made = made_of(self._source.feature_set, applied, batches)
            return made.frame.select(columns), made.ends[partition]
        if not batches and stores.log.ends()[partition] <= since:
            return None
        saved = stores.offline.last_offset(applied.full_name, partition)
        upto = min(since + EVENTS_A_STEP, saved if not batches else max(saved, batches[0].first - 1))
        if upto <= since:
            return None
        inside = (pl.col(PARTITION) == partition) & (pl.col(OFFSET) > since) & (pl.col(OFFSET) <= upto)
        return applied.typed(stores.offline.read(applied.full_name, columns, where=inside)).sort(OFFSET), upto

    def _hand_over(self, partition: int, rows: pl.DataFrame, at: dict[int, int], upto: int) -> None:
        derived, log = self._derived.feature_set, self._derived.stores.log
        rows = rows.drop_nulls([entity.name for entity in derived.entities])
        homes = places(derived.entities, rows, log.partitions) // BUCKETS
        offsets = rows[OFFSET].to_numpy()
        parts = {
            home: accept(derived, rows[np.flatnonzero((homes == home) & (offsets > begin))], now_us=self._now_us())
            for home, begin in at.items()
        }
        log.bury([letter for part in parts.values() for letter in part.letters])
        frames = {home: part.frame for home, part in parts.items()}
        log.relay(self._name(partition), frames, since=at, upto=upto)

    def _name(self, partition: int) -> str:
        return f"{self._source.applied.full_name}:{partition}"
