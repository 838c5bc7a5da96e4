"""Waiting until events of the log are stored: by the set's streams where any run, else by working through them here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from ...runtime.errors import Fenced, StorageError
from ..definitions.catalog import AppliedSet
from ..definitions.feature_set import FeatureSet
from ..events.log import Offsets
from ..events.membership import Membership
from .worker import Stores, Worker

POLL_S = 0.02
TTL_MS = 2_000  # so long does the next ingestion wait for the partitions of one that was killed
TIMEOUT_S = 600.0
UNSAVED_EVENTS = 250_000  # bounds memory


class Settler(Protocol):
    """Whoever takes events from the log to the stores."""

    def reach(self, ends: Offsets) -> None:
        """Returns once each partition is online up to its offset."""

    def settle(self, ends: Offsets) -> None:
        """Returns once each partition is stored, online and offline, up to its offset."""


@dataclass(frozen=True, slots=True)
class WorkerSettler:
    """A worker that has every partition."""

    worker: Worker

    def reach(self, ends: Offsets) -> None:
        """Takes all that the log holds online."""
        self.settle(ends)

    def settle(self, ends: Offsets) -> None:
        """Takes all that the log holds to both stores."""
        self.worker.drain()
        self.worker.save()


class Hands:
    """An ingestion's own worker: has the partitions that no other process has, and none while a stream of the set runs.

    Use it in a `with` block: its end gives the partitions back.
    """

    def __init__(self, feature_set: FeatureSet, applied: AppliedSet, stores: Stores) -> None:
        self._table = applied.full_name
        self._stores = stores
        items = [str(partition) for partition in range(stores.log.partitions)]
        self._membership = Membership(stores.online.leases, applied.full_name, items, ttl_ms=TTL_MS, joins=False)
        self._items = items
        self._worker = Worker(feature_set, applied, stores, leases={})

    def reach(self, ends: Offsets) -> None:
        """Works, or waits for those who do; raises `StorageError` when nothing has moved for ten minutes."""
        self._until(ends, self._not_online)
        if self._worker.unsaved_events > UNSAVED_EVENTS:
            self._worker.save()

    def settle(self, ends: Offsets) -> None:
        """The same, until all is in the offline table too; after that the partitions are free for others."""
        self._until(ends, self._not_online)
        self._worker.save()
        self._until(ends, self._not_saved)
        self._give_back()

    def _until(self, ends: Offsets, missing: Callable[[Offsets], dict[int, int]]) -> None:
        moved, seen = time.monotonic(), dict[int, int]()
        while behind := missing(ends):
            self._share()
            if self._stepped():
                moved = time.monotonic()
                continue
            if (at := dict(self._stores.log.checkpoints())) != seen:
                moved, seen = time.monotonic(), at
            if time.monotonic() - moved > TIMEOUT_S:
                raise StorageError(
                    f"{self._table}: partitions {sorted(behind)} not stored after {TIMEOUT_S:g} s; is the machine "
                    "overloaded? The events are in the log and will be worked through"
                )
            threading.Event().wait(POLL_S)
            self._worker.save()

    def _not_online(self, ends: Offsets) -> dict[int, int]:
        at = self._stores.log.checkpoints() if ends else {}
        return {partition: end for partition, end in ends.items() if at[partition] < end}

    def _not_saved(self, ends: Offsets) -> dict[int, int]:
        at = self._stores.offline.offsets(self._table) if ends else {}
        return {partition: end for partition, end in ends.items() if at.get(partition, -1) < end}

    def _share(self) -> None:
        change = self._membership.change()
        for item in [item for item in self._membership.held if int(item) not in self._worker.online_at]:
            self._membership.release(item)  # it was taken over
        for item in change.lost:
            self._worker.drop(int(item))
            self._membership.release(item)
        if self._membership.members:
            self._give_back()
            return
        claimed = {item: self._membership.claim(item) for item in self._items if item not in self._membership.held}
        self._worker.hold({int(item): lease for item, lease in claimed.items() if lease is not None})

    def _give_back(self) -> None:
        if self._membership.held:
            self._worker.save()
        for item in self._membership.held:
            self._worker.drop(int(item))
            self._membership.release(item)

    def _stepped(self) -> int:
        try:
            return self._worker.step()
        except Fenced:
            return 0  # whoever has that partition works it through

    def __enter__(self) -> Hands:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._worker.save()
        finally:
            self._membership.leave()
