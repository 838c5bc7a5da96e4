"""A thread that works through a feed, sharing its parts with every other consumer of it, in whatever process."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass

from ...featurestore.events.leases import Leases, lease_name
from ...featurestore.events.membership import TTL_MS, Membership
from ...runtime.errors import Fenced
from .feed import Feed
from .worker import Worker

POLL_S, BUSY_POLL_S, BUSY_FOR_S = 0.05, 0.01, 0.5  # while events came of late, the next ones are not long in coming
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0  # after an error, before the next attempt
PACE_OVER_S = 3.0


@dataclass(frozen=True, slots=True)
class Status:
    """How a stream does: events that are `waiting`, how many were `buried` as dead letters, and of its consumers that
    live now, by name, what each has done: events, failed, again, events_s, parts, error."""

    waiting: int
    buried: int
    consumers: dict[str, dict[str, object]]

    @property
    def events_s(self) -> float:
        """Events a second, all consumers together."""
        return sum(float(str(one.get("events_s", 0.0))) for one in self.consumers.values())


class Consumer:
    """Works until it is closed. One that dies without a word is followed by the others after `ttl_ms`; after an error
    (a server that is away) it tries again, ever more slowly, with the error in its status until that works."""

    def __init__(self, feed: Feed, worker: Worker, leases: Leases, *, owner: str = "", ttl_ms: int = TTL_MS) -> None:
        self._feed = feed
        self._worker = worker
        self._ends = threading.Event()
        self._busy_at = time.monotonic()
        self._pace = (time.monotonic(), 0, 0.0)  # when, events by then, events a second
        self.last_error: str | None = None
        self._membership = Membership(leases, feed.name, feed.parts(), owner=owner, ttl_ms=ttl_ms, note=self._note)
        self._thread = threading.Thread(target=self._run, name=f"consumer of {feed.name}", daemon=True)
        self._thread.start()

    @property
    def events(self) -> int:
        """How many it has worked through."""
        return self._worker.counts.events

    def close(self) -> None:
        """Ends after the step it is at; what is still waiting, waits for the next one."""
        self._ends.set()
        self._thread.join()
        self._membership.leave()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._ends.is_set():
            try:
                if self._round():
                    self._busy_at = time.monotonic()
                else:
                    busy = time.monotonic() - self._busy_at < BUSY_FOR_S
                    self._ends.wait(BUSY_POLL_S if busy else POLL_S)
                pause_s, self.last_error = FIRST_PAUSE_S, None
            except Fenced:
                self._begin_again()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is shown, and tried again
                self.last_error = f"{type(error).__name__}: {error}"
                self._begin_again()
                self._ends.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _round(self) -> int:
        self._share()
        return sum(self._worker.step(part) for part in self._membership.held if not self._ends.is_set())

    def _share(self) -> None:
        change = self._membership.change()
        for part in (*change.lost, *change.give):
            self._membership.release(part)
        for part in change.take:
            if self._membership.claim(part) is not None:
                self._worker.begin(part)

    def _begin_again(self) -> None:
        """Gives its parts back: who claims one looks where it was left."""
        try:
            for part in list(self._membership.held):
                self._membership.release(part)
        except Exception as error:  # noqa: BLE001 - the server is away: the leases lapse there
            self.last_error = self.last_error or f"{type(error).__name__}: {error}"

    def _note(self) -> str:
        counts, (began, before, pace) = self._worker.counts, self._pace
        elapsed_s = time.monotonic() - began
        if elapsed_s >= PACE_OVER_S:
            pace = (counts.events - before) / elapsed_s
            self._pace = (time.monotonic(), counts.events, pace)
        return json.dumps(
            {
                "events": counts.events,
                "failed": counts.failed,
                "again": counts.again,
                "events_s": round(pace, 1),
                "error": self.last_error,
            }
        )


def status_of(feed: Feed, leases: Leases) -> Status:
    """What everybody may know of a feed's consumers."""
    names = {part: lease_name(feed.name, part) for part in feed.parts()}
    roll = leases.beat(feed.name, list(names.values()))
    consumers = {owner: json.loads(note or "{}") for owner, note in roll.members.items()}
    for part, name in names.items():
        holder = roll.holders.get(name)
        if holder in consumers:
            consumers[holder].setdefault("parts", []).append(part)
    return Status(feed.waiting(), feed.buried_count(), consumers)
