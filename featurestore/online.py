"""The online store: packed values by key. A port and its in-memory form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..runtime.errors import Fenced
from .states import OFFSET_BYTES


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one feature set version's keys; a later lease has a higher epoch and voids this one."""

    name: str
    epoch: int


class OnlineStore(Protocol):
    """Packed values by key; whoever writes holds a lease."""

    def lease(self, name: str) -> Lease:
        """Takes the lease over: from now on earlier holders' writes raise `Fenced`."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, None where there is none; one round trip for any number of keys."""

    def write(self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease) -> None:
        """Stores each value unless its key has a newer offset already; raises `Fenced`."""

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so; how many there were."""


class MemoryOnlineStore:
    """The same contract in one process's memory: for tests and for trying things out."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._epochs: dict[str, int] = {}

    def lease(self, name: str) -> Lease:
        """Takes the lease over."""
        self._epochs[name] = self._epochs.get(name, 0) + 1
        return Lease(name, self._epochs[name])

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values, None where there is none."""
        return [self._values.get(key) for key in keys]

    def write(self, values: Iterable[tuple[bytes, bytes]], *, lease: Lease) -> None:
        """Stores each value unless its key has a newer offset already."""
        if self._epochs.get(lease.name, 0) != lease.epoch:
            raise fenced(lease)
        for key, value in values:
            known = self._values.get(key)
            if known is None or known[OFFSET_BYTES] < value[OFFSET_BYTES]:
                self._values[key] = value

    def erase(self, prefix: bytes) -> int:
        """Removes every key that begins so."""
        gone = [key for key in self._values if key.startswith(prefix)]
        for key in gone:
            del self._values[key]
        return len(gone)


def fenced(lease: Lease) -> Fenced:
    """The error of a writer that came too late."""
    return Fenced(f"another worker has taken {lease.name} over (this one held epoch {lease.epoch}); let it go on")
