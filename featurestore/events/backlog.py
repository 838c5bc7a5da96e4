"""Back-pressure: who pushes waits while a log holds too much, and is told when to come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...runtime.errors import LogFull
from .log import EventLog, Held

POLL_S = 0.05
LOOK_EVERY_S = 0.1  # a log that is half empty is not asked more often
LONGEST_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Bound:
    """How much one partition may hold: events, and bytes of the server's memory."""

    events: int = 1_000_000
    bytes: int = 256 << 20

    def fullness(self, held: Held) -> float:
        """1.0 and more: full."""
        return max(held.events / self.events, held.bytes / self.bytes)


class Gate:
    """Stands before one log."""

    def __init__(self, log: EventLog, *, name: str, bound: Bound | None = None) -> None:
        self._log, self._name = log, name
        self._bound = bound or Bound()
        self._roomy_until, self._passed = 0.0, 0

    def pass_through(self, partitions: Iterable[int], *, events: int, patience_s: float) -> None:
        """Returns once each of the partitions has room; raises `LogFull` after `patience_s`, nothing being written."""
        self._passed += events
        if time.monotonic() < self._roomy_until and self._passed < self._bound.events / 4:
            return
        wanted, began = list(partitions), time.monotonic()
        at_first = held = self._log.held()
        pause = threading.Event()
        while full := [p for p in wanted if self._bound.fullness(held[p]) >= 1.0]:
            waited_s = time.monotonic() - began
            if waited_s >= patience_s:
                raise self._refusal(full, at_first, held, waited_s=waited_s)
            pause.wait(min(POLL_S, patience_s - waited_s))
            held = self._log.held()
        if max(self._bound.fullness(one) for one in held.values()) < 0.5:
            self._roomy_until, self._passed = time.monotonic() + LOOK_EVERY_S, events

    def _refusal(
        self, full: list[int], before: Mapping[int, Held], held: Mapping[int, Held], *, waited_s: float
    ) -> LogFull:
        worst = max(full, key=lambda partition: self._bound.fullness(held[partition]))
        retry_s = retry_after_s(before[worst], held[worst], bound=self._bound, waited_s=waited_s)
        what = f"{self._name}: partition {worst} of the log is full ({held[worst].events:,} events)"
        if retry_s is None:
            cure = "nobody works it through: run store.stream(...) or store.deploy_stream(...)"
            return LogFull(f"{what} and {cure}", retry_after_s=LONGEST_RETRY_S)
        return LogFull(f"{what}: push again in {retry_s:.1f} s, or add workers", retry_after_s=retry_s)


def retry_after_s(before: Held, now: Held, *, bound: Bound, waited_s: float) -> float | None:
    """When a tenth of the bound will be free, at the pace seen in `waited_s`; None when there was none."""
    freed = bound.fullness(before) - bound.fullness(now)
    if freed <= 0 or waited_s <= 0:
        return None
    return min(LONGEST_RETRY_S, max(0.1, (bound.fullness(now) - 0.9) / (freed / waited_s)))
