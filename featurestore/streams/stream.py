"""A stream: a worker in a thread, which shares the partitions of one feature set version with other such threads."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

from ...runtime.errors import Fenced, StorageError
from ..definitions.catalog import AppliedSet
from ..definitions.feature_set import FeatureSet
from ..events.membership import TTL_MS, Membership
from .stream_status import note_of
from .worker import Stores, Worker

LEASE_S = TTL_MS / 1000
POLL_S, BUSY_POLL_S, BUSY_FOR_S = 0.05, 0.01, 0.5  # while events came of late, the next ones are not long in coming
SAVE_EVERY_S = 2.0
SAVE_AT_EVENTS = 50_000
PACE_OVER_S = 3.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0  # after an error, before the next attempt


class Stream:
    """Takes events to the online store as they come, and to the offline table every few seconds.

    It shares the partitions with every other stream of the set, in whatever process; one that dies without a word is
    followed by the others after `ttl_ms`. After an error (a server that is away, a full disk) it tries again, ever
    more slowly, with the error in `last_error` until that works: nothing is lost meanwhile, for the log holds it.
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        applied: AppliedSet,
        stores: Stores,
        *,
        owner: str = "",
        ttl_ms: int = TTL_MS,
        feed: Callable[[], int] | None = None,
    ) -> None:
        self.name = applied.full_name
        self._stores = stores
        self._ttl_ms = ttl_ms
        self._feed = feed
        self._worker = Worker(feature_set, applied, stores, leases={})
        self._woken = threading.Condition()
        self._events = 0
        self._pending = True
        self._closing_until: float | None = None
        self._goal: Mapping[int, int] = {}
        self._failure: Exception | None = None
        self._saved_at = self._busy_at = time.monotonic()
        self._pace = (time.monotonic(), 0, 0.0)  # when, events by then, events a second
        self.last_error: str | None = None
        self.error_beside: Callable[[], str | None] = lambda: None  # of what feeds its log, told with its own
        items = [str(partition) for partition in range(stores.log.partitions)]
        self._membership = Membership(
            stores.online.leases, applied.full_name, items, owner=owner, ttl_ms=ttl_ms, note=self._note
        )
        self._share()
        self._thread = threading.Thread(target=self._run, name=f"stream {self.name}", daemon=True)
        self._thread.start()

    @property
    def events(self) -> int:
        """The events worked through since it began."""
        return self._events

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions it holds now."""
        return tuple(sorted(self._worker.online_at))

    def wake(self) -> None:
        """There is news in the log; saves the wait for the next look."""
        with self._woken:
            self._pending = True
            self._woken.notify_all()

    def wait_for(self, offsets: Mapping[int, int], *, timeout_s: float = 60.0) -> None:
        """Returns once each partition is online up to its offset, whoever holds it; raises `StorageError`."""
        deadline = time.monotonic() + timeout_s
        with self._woken:
            while missing := {p: o for p, o in offsets.items() if self._worker.online_at.get(p, -1) < o}:
                if not missing.keys() <= self._worker.online_at.keys():
                    at = self._stores.log.checkpoints()
                    if all(at[partition] >= offset for partition, offset in missing.items()):
                        return
                if time.monotonic() > deadline:
                    why = self.last_error or "is the machine overloaded?"
                    raise StorageError(f"stream {self.name}: not online after {timeout_s:g} s: {why}")
                self._woken.wait(POLL_S)

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Works through what the log holds now of its partitions, saves it offline and stops.

        Raises what still keeps it from that after `timeout_s`.
        """
        with self._woken:
            self._closing_until = time.monotonic() + timeout_s
            self._woken.notify_all()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            with self._woken:
                if not (self._pending or self._closing_until):
                    busy = time.monotonic() - self._busy_at < BUSY_FOR_S
                    self._woken.wait(BUSY_POLL_S if busy else POLL_S)
                closing_until, self._pending = self._closing_until, False
            try:
                if self._round(closing=closing_until is not None):
                    return
                pause_s, self.last_error = FIRST_PAUSE_S, None
            except Fenced:
                continue  # another has that partition now; the others go on
            except Exception as error:  # noqa: BLE001 - whatever it is (a user's transform raises anything), it is shown
                self.last_error = f"{type(error).__name__}: {error}"
                if closing_until is not None and time.monotonic() > closing_until:
                    self._failure = error
                    return
                with self._woken:
                    self._woken.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _round(self, *, closing: bool) -> bool:
        """Partitions given and taken, some events, a save when it is due; True at the end."""
        self._share()
        if self._worker.unsaved_events > SAVE_AT_EVENTS or time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self._save()  # before more is taken: while the offline table refuses, the log fills and memory does not
        # Whoever has the first partition brings a derived set what its source has.
        fed = self._feed() if self._feed is not None and 0 in self._worker.online_at else 0
        done = self._worker.step()
        if done:
            with self._woken:
                self._events += done
                self._pending = True
                self._busy_at = time.monotonic()
                self._woken.notify_all()
        finished = closing and not fed and (not done or self._reached())
        if finished:
            self._save()
        if finished and self._membership.is_settled():
            self._membership.leave()
            return True
        return False

    def _save(self) -> None:
        self._worker.save()
        self._saved_at = time.monotonic()

    def _reached(self) -> bool:
        """True once it has done what was in the log when it was told to close."""
        self._goal = self._goal or self._stores.log.ends()
        return all(at >= self._goal[partition] for partition, at in self._worker.online_at.items())

    def _share(self) -> None:
        change = self._membership.change()
        fenced = {item for item in self._membership.held if int(item) not in self._worker.online_at}
        for item in {*change.lost, *fenced}:
            self._worker.drop(int(item))
            self._membership.release(item)
        if change.give:
            self._worker.save()
        for item in set(change.give) - fenced:
            self._worker.drop(int(item))
            self._membership.release(item)
        for item in change.take:
            lease = self._membership.claim(item)
            if lease is None:
                continue
            try:
                self._worker.hold({int(item): lease})
            except BaseException:
                self._worker.drop(int(item))
                self._membership.release(item)
                raise
            with self._woken:
                self._pending = True

    def _note(self) -> str:
        """Called at each heartbeat; the pace is that of the last few seconds."""
        now, events = time.monotonic(), self._events
        at, before, pace = self._pace
        elapsed_s = now - at
        if elapsed_s > 0:
            weight = min(1.0, elapsed_s / PACE_OVER_S)
            pace += weight * ((events - before) / elapsed_s - pace)
        self._pace = (now, events, pace)
        return note_of(host=socket.gethostname(), pid=os.getpid(), events=events, events_s=pace, error=self.last_error)
