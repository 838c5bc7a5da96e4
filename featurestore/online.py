"""The online store: packed values by key. A port and its in-memory form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from .leases import Lease, Leases, MemoryLeases, fenced
from .states import OFFSET_BYTES

TAKER, TAKEN_MS = "one program", 60_000


class OnlineStore(Protocol):
    """Packed values by key; whoever writes holds a lease, which the same server checks."""

    @property
    def leases(self) -> Leases:
        """The leases that writes are checked against."""

    def lease(self, name: str) -> Lease:
        """Takes the lease over for a minute: from now on earlier holders' writes raise `Fenced`."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, None where there is none; one round trip for any number of keys."""

    def write(self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease) -> None:
        """Stores each value unless its key has a newer offset already; raises `Fenced`."""

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so; how many there were."""

    def remove(self, keys: Sequence[bytes]) -> int:
        """Removes these keys for good; how many there were."""


class MemoryOnlineStore:
    """The same contract in one process's memory: for tests and for trying things out."""

    def __init__(self) -> None:
        self.leases = MemoryLeases()
        self._values: dict[bytes, bytes] = {}

    def lease(self, name: str) -> Lease:
        """Takes the lease over for a minute."""
        return self.leases.take(name, TAKER, ttl_ms=TAKEN_MS)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, None where there is none."""
        return [self._values.get(key) for key in keys]

    def write(self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease) -> None:
        """Stores each value unless its key has a newer offset already."""
        if not self.leases.is_current(lease):
            raise fenced(lease)
        for key, value in values:
            known = self._values.get(key)
            if known is None or known[OFFSET_BYTES] < value[OFFSET_BYTES]:
                self._values[key] = value

    def remove(self, keys: Sequence[bytes]) -> int:
        """Removes these keys."""
        return sum(self._values.pop(key, None) is not None for key in keys)

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so."""
        gone = [key for key in self._values if key.startswith(prefix)]
        for key in gone:
            del self._values[key]
        return len(gone)
