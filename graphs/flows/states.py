"""What state steps remember: a value a key, exchanged only where nobody was quicker. A port and its in-memory form."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

TAG_BYTES = 8


@dataclass(frozen=True, slots=True)
class Exchange:
    """Puts `value` in the place of the one tagged `seen` (b"": of none); it goes after `ttl_ms`, 0 for never.

    A value begins with its tag, `TAG_BYTES` that were drawn for it alone.
    """

    key: str
    seen: bytes
    value: bytes
    ttl_ms: int = 0


class StateStore(Protocol):
    """Values by key; both calls are one round trip (on a cluster: one a slot)."""

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values, None where there is none."""

    def exchange(self, exchanges: Sequence[Exchange]) -> list[bool]:
        """Which of them were done, each for itself; one that is repeated counts as done again."""

    def close(self) -> None:
        """Gives connections back."""


class MemoryStates:
    """The same contract in one process's memory."""

    def __init__(self, *, now_ms: Callable[[], float] = lambda: time.monotonic() * 1000) -> None:
        self._now_ms = now_ms
        self._values: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values, None where there is none."""
        with self._lock:
            return [self._value(key) for key in keys]

    def exchange(self, exchanges: Sequence[Exchange]) -> list[bool]:
        """Which of them were done."""
        with self._lock:
            return [self._exchange(one) for one in exchanges]

    def close(self) -> None:
        """There is nothing to give back."""

    def _exchange(self, one: Exchange) -> bool:
        tag = (self._value(one.key) or b"")[:TAG_BYTES]
        if tag == one.seen:
            until = self._now_ms() + one.ttl_ms if one.ttl_ms else float("inf")
            self._values[one.key] = (one.value, until)
            return True
        return tag == one.value[:TAG_BYTES]

    def _value(self, key: str) -> bytes | None:
        value, until = self._values.get(key, (None, 0.0))
        return value if until > self._now_ms() else None
