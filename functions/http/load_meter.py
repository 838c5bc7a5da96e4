"""How many requests are in flight on average, those that still wait for this process included.

A replica that works in its event loop cannot be caught in the act: whenever somebody looks, it has just finished. So
time is added up instead: each request's wait before it was taken and its work, over the time passed, is the mean number
in flight (Little 1961).
"""

from __future__ import annotations

MAX_WAIT_US = 60_000_000


class LoadMeter:
    """Add up with `begin` and `end`, read with `mean`. Times in microseconds of one clock; not for several threads."""

    __slots__ = ("_active", "_born_us", "_changed_us", "_read_us", "_total_us")

    def __init__(self, now_us: int) -> None:
        self._active = 0
        self._born_us = now_us
        self._total_us = 0
        self._changed_us = now_us
        self._read_us = now_us

    @property
    def active(self) -> int:
        """How many are in flight now."""
        return self._active

    def begin(self, now_us: int, arrived_us: int = 0) -> None:
        """A request is taken at `now_us` that reached the service at `arrived_us` (0: unknown)."""
        self._advance(now_us)
        self._active += 1
        if arrived_us:
            # Who waited for this process to start was no load of it then: all of them at once, told in its first
            # moment, would look like many more. A clock that was set meanwhile must not count as an hour's wait.
            self._total_us += min(max(0, now_us - max(arrived_us, self._born_us)), MAX_WAIT_US)

    def end(self, now_us: int) -> None:
        """A request that was begun is answered."""
        self._advance(now_us)
        self._active -= 1

    def mean(self, now_us: int) -> float:
        """The mean number in flight since the last call."""
        self._advance(now_us)
        span_us = now_us - self._read_us
        if span_us <= 0:
            return float(self._active)
        mean = self._total_us / span_us
        self._total_us, self._read_us = 0, now_us
        return mean

    def _advance(self, now_us: int) -> None:
        if now_us > self._changed_us:
            self._total_us += self._active * (now_us - self._changed_us)
            self._changed_us = now_us
