"""The worker of some partitions of one feature set version: takes batches from the log to both stores.

Each store knows by itself how far it got (Delta transactions, the offset in every value's header), so a
batch may be worked through any number of times, after any crash, and counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from ...runtime.errors import Fenced
from ..definitions.catalog import AppliedSet
from ..definitions.feature_set import FeatureSet
from ..events.leases import Lease, lease_name
from ..events.log import Batch, EventLog, Mark
from ..offline.erasure import Erased
from ..offline.offline import APPLIED, OFFSET, PARTITION, OfflineStore
from ..online.online import OnlineStore
from .made import Made, made_of
from .online_write import OnlineWriter

EVENTS_A_STEP = 50_000  # what a step aims at; one batch is the least it takes


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a worker reads and writes."""

    online: OnlineStore
    offline: OfflineStore
    log: EventLog
    erased: Callable[[], Erased] = Erased  # what must not come back; asked for whenever a partition is taken


class Worker:
    """Sole writer of the partitions it holds, each for as long as nobody takes its lease.

    `leases` by partition (empty: `hold` gives them later); by default it takes all of them over.
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        applied: AppliedSet,
        stores: Stores,
        *,
        leases: Mapping[int, Lease] | None = None,
    ) -> None:
        self._set = feature_set
        self._applied = applied
        self._stores = stores
        self._writer = OnlineWriter(applied, stores.online)
        self._leases: dict[int, Lease] = {}
        self._erased = Erased()
        self._runs: dict[int, str] = {}
        self._online_at: dict[int, int] = {}
        self._unsaved: list[pl.DataFrame] = []
        self._unsaved_to: dict[int, int] = {}
        self._unsaved_marks: dict[int, tuple[Mark, ...]] = {}
        self.hold(self._taken() if leases is None else leases)

    def hold(self, leases: Mapping[int, Lease]) -> None:
        """Writes these partitions from now on; mends first what whoever held them left half done."""
        if not leases:
            return
        runs = self._stores.log.runs()
        self._erased = self._stores.erased()
        self._leases |= leases
        self._runs |= {partition: runs[partition] for partition in leases}
        at = self._stores.log.checkpoints()
        # Only this worker moves the checkpoints from here on, so reading them once is enough.
        self._online_at |= {partition: at[partition] for partition in leases}
        saved = self._stores.offline.offsets(self._applied.full_name)
        # A server that lost its last second must not give out again the offsets that the table holds.
        self._stores.log.raise_to(saved)
        for partition in leases:
            self._recover(partition, saved.get(partition, -1))

    def drop(self, partition: int) -> None:
        """Forgets the partition; what it has not saved, the next holder finds in the log."""
        self._leases.pop(partition, None)
        self._runs.pop(partition, None)
        self._online_at.pop(partition, None)
        self._unsaved_marks.pop(partition, None)
        if self._unsaved_to.pop(partition, None) is not None:
            self._unsaved = [frame.filter(pl.col(PARTITION) != partition) for frame in self._unsaved]

    def drain(self) -> int:
        """Works through all that the log holds; the number of events."""
        done = 0
        while count := self.step():
            done += count
        return done

    def step(self) -> int:
        """Works through the next events, some ten thousand at most; their number, 0 for none.

        Raises `Fenced` when a partition was taken over: that one is dropped, the others are done and go on. The same
        happens to the partitions of a server that was started anew, which may know less than this worker believes.
        """
        try:
            return self._step()
        except Fenced:
            runs = self._stores.log.runs()
            for partition in [held for held, run in self._runs.items() if runs[held] != run]:
                self.drop(partition)
            raise

    def _step(self) -> int:
        each = EVENTS_A_STEP // max(1, len(self._online_at))
        batches = self._stores.log.read(self._online_at, events=each, runs=self._runs) if self._online_at else []
        if not batches:
            return 0
        made = self._made(batches)
        lost = self._put_online(made)
        self._unsaved.append(made.frame)
        self._unsaved_to |= made.ends
        for partition, marks in made.marks.items():
            self._unsaved_marks[partition] = (*self._unsaved_marks.get(partition, ()), *marks)
        self._dropped(lost)
        return sum(batch.frame.height for batch in batches)

    def save(self) -> None:
        """Writes what went online since the last save to the offline table, in one commit, and trims the log."""
        if not self._unsaved_to:
            return
        ends = self._unsaved_to
        frame = pl.concat(self._unsaved)
        self._stores.offline.append(self._applied.full_name, frame, last_offsets=ends, marks=self._unsaved_marks)
        self._unsaved, self._unsaved_to, self._unsaved_marks = [], {}, {}
        self._stores.log.trim(ends)

    @property
    def online_at(self) -> Mapping[int, int]:
        """The last offset that is online of each partition it holds, -1 for none."""
        return self._online_at

    @property
    def unsaved_events(self) -> int:
        """Events that are online and in the log but not yet in the offline table."""
        return sum(frame.height for frame in self._unsaved)

    def _taken(self) -> dict[int, Lease]:
        names = {p: lease_name(self._applied.full_name, p) for p in range(self._stores.log.partitions)}
        return {partition: self._stores.online.lease(name) for partition, name in names.items()}

    def _recover(self, partition: int, saved_at: int) -> None:
        """Brings each store to where the other one is, after a worker died between the two."""
        log, offline, table = self._stores.log, self._stores.offline, self._applied.full_name
        online_at = self._online_at[partition]
        if saved_at > online_at:
            missing = offline.read(
                table,
                [*self._applied.columns, PARTITION, OFFSET, APPLIED],
                where=(pl.col(PARTITION) == partition) & (pl.col(OFFSET) > online_at),
            )
            self._dropped(self._put_online(Made(self._applied.typed(missing), {partition: saved_at})))
        while saved_at < online_at:
            batches = [
                batch for batch in log.read({partition: saved_at}, events=EVENTS_A_STEP) if batch.last <= online_at
            ]
            if not batches:
                return
            made = self._made(batches)
            offline.append(table, made.frame, last_offsets=made.ends, marks=made.marks)
            log.trim(made.ends)
            saved_at = made.ends[partition]

    def _made(self, batches: list[Batch]) -> Made:
        made = made_of(self._set, self._applied, batches, self._erased)
        if made.letters:
            # Before the checkpoint moves past them; a letter with a place is there once, however often it is written.
            self._stores.log.bury(made.letters)
        return made

    def _put_online(self, made: Made) -> dict[int, Fenced]:
        """Online as far as the leases allow; the partitions that were taken over."""
        lost = self._writer.put(made.frame, self._leases)
        ends = {partition: end for partition, end in made.ends.items() if partition not in lost}
        self._stores.log.advance(ends, runs=self._runs)
        self._online_at |= ends
        return lost

    def _dropped(self, lost: Mapping[int, Fenced]) -> None:
        for partition in lost:
            self.drop(partition)
        for error in lost.values():
            raise error
