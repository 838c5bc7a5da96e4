"""The online store: packed values by key. A port and its in-memory form."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ..events.leases import Lease, Leases, MemoryLeases, fenced
from ..state.states import OFFSET_BYTES

TAKER, TAKEN_MS = "one program", 60_000
FOR_EVER_MS = 2**62


def wall_clock_ms() -> int:
    """Now, in milliseconds."""
    return time.time_ns() // 1_000_000


class OnlineStore(Protocol):
    """Packed values by key; whoever writes holds a lease, which the same server checks."""

    @property
    def leases(self) -> Leases:
        """The leases that writes are checked against."""

    def lease(self, name: str) -> Lease:
        """Takes the lease over for a minute: from now on earlier holders' writes raise `Fenced`."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, None where there is none; one round trip for any number of keys."""

    async def aread(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """`read` for coroutines; those of one event loop share a round trip."""

    def write(
        self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease, expires_ms: Sequence[int] | None = None
    ) -> None:
        """Stores each value unless its key has a newer offset already; raises `Fenced`.

        A value may go at its moment of `expires_ms` (since 1970); 0, or None for all, is never.
        """

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so; how many there were."""

    def close(self) -> None:
        """Gives the connections back."""

    def remove(self, keys: Sequence[bytes]) -> int:
        """Removes these keys for good; how many there were."""


class MemoryOnlineStore:
    """The same contract in one process's memory: for tests and for trying things out."""

    def __init__(self, *, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.leases = MemoryLeases()
        self._now_ms = now_ms
        self._values: dict[bytes, bytes] = {}
        self._expires_ms: dict[bytes, int] = {}

    def lease(self, name: str) -> Lease:
        """Takes the lease over for a minute."""
        return self.leases.take(name, TAKER, ttl_ms=TAKEN_MS)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, None where there is none."""
        now_ms = self._now_ms()
        return [self._values.get(key) if self._expires_ms.get(key, 0) > now_ms else None for key in keys]

    async def aread(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """`read` for coroutines."""
        return self.read(keys)

    def write(
        self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease, expires_ms: Sequence[int] | None = None
    ) -> None:
        """Stores each value unless its key has a newer offset already."""
        if not self.leases.is_current(lease):
            raise fenced(lease)
        pairs = list(values)
        known = self.read([key for key, _ in pairs])
        for (key, value), old, expiry in zip(pairs, known, expires_ms or [0] * len(pairs), strict=True):
            if old is None or old[OFFSET_BYTES] < value[OFFSET_BYTES]:
                self._values[key] = value
                self._expires_ms[key] = expiry or FOR_EVER_MS

    def remove(self, keys: Sequence[bytes]) -> int:
        """Removes these keys."""
        return sum(self._values.pop(key, None) is not None for key in keys)

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so."""
        gone = [key for key in self._values if key.startswith(prefix)]
        for key in gone:
            del self._values[key], self._expires_ms[key]
        return len(gone)

    def close(self) -> None:
        """Nothing to give back."""
