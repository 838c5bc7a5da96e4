"""How a step is run: where it reads and writes, what happens when it fails, what it shares, where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ...autoscaling.scale import Scale
from ...runtime.errors import DefinitionError
from ...runtime.retries import Retries


class Nothing(Enum):
    """No fallback, which is another thing than a fallback of None."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING


@dataclass(frozen=True, slots=True)
class Gathering:
    """Concurrent requests share a call of up to `max_size` events; the first waits `wait_ms` for company at most."""

    max_size: int = 32
    wait_ms: float = 0.0

    def __post_init__(self) -> None:
        if self.max_size < 1 or self.wait_ms < 0:
            raise DefinitionError(f"batch(max_size={self.max_size}, wait_ms={self.wait_ms}): at least 1, and 0 ms")


@dataclass(frozen=True, slots=True)
class CacheRule:
    """Results are kept `ttl_s` seconds, the `max_entries` used last; `key` names the fields they depend on, or is a
    function of the input (default: all of the input)."""

    ttl_s: float
    key: tuple[str, ...] | Callable[[Any], object] = ()
    max_entries: int = 10_000

    def __post_init__(self) -> None:
        if self.ttl_s <= 0 or self.max_entries < 1:
            raise DefinitionError(f"cache(ttl_s={self.ttl_s}, max_entries={self.max_entries}): give positive numbers")


@dataclass(frozen=True, slots=True)
class StateRule:
    """State is kept by the value at `path` of the body, and for `ttl_s` after it was last written (None: for ever)."""

    path: tuple[str, ...]
    ttl_s: float | None = None

    def __post_init__(self) -> None:
        if self.ttl_s is not None and not self.ttl_s >= 0.001:
            raise DefinitionError(f"state(ttl_s={self.ttl_s}): give seconds, at least a thousandth")


@dataclass(frozen=True, slots=True)
class QueueRule:
    """Events of one value at the place `by` (of one id where it is empty) are worked on in their order, one after the
    other.

    Up to `workers` share the `partitions`, which hold for as long as the queue does. An event that fails is tried again
    and then put aside. More than `most_waiting` events are not taken.
    """

    by: tuple[str, ...] = ()
    partitions: int = 4
    workers: int = 1
    retries: Retries = Retries(3, on=(Exception,), backoff_s=0.1)
    most_waiting: int = 100_000

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= self.partitions:
            raise DefinitionError(
                f"queue(partitions={self.partitions}, workers={self.workers}): at least one worker, at most one a "
                "partition"
            )
        if self.most_waiting < self.partitions:
            raise DefinitionError(f"queue(most_waiting={self.most_waiting}): at least one event a partition")


@dataclass(frozen=True, slots=True)
class StepOptions:
    """`input` and `result` are places in the body; `threads` is how many threads work at it (0: the event loop's own).

    `isolate` gives the step replicas of its own, scaled by `scale`, with `packages` installed; a call of them whose
    replica died is made again where the step is `idempotent`. `defaults` stand where a feature that was read is null.
    """

    input: str = ""
    result: str = ""
    retries: Retries | None = None
    timeout_s: float | None = None
    fallback: Any = NOTHING
    on_error: Callable[..., Any] | None = None
    cache: CacheRule | None = None
    gathering: Gathering | None = None
    threads: int = 0
    isolate: bool = False
    scale: Scale | None = None
    packages: tuple[str, ...] = ()
    idempotent: bool = True
    defaults: tuple[tuple[str, float], ...] = ()
    state: StateRule | None = None
    queue: QueueRule | None = None

    def __post_init__(self) -> None:
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise DefinitionError(f"timeout({self.timeout_s}): give seconds, more than 0")
        if self.threads < 0:
            raise DefinitionError(f"threads({self.threads}): give a number of threads, not negative")

    @property
    def is_guarded(self) -> bool:
        """True where an error of the step is not the end of the event."""
        return self.fallback is not NOTHING or self.on_error is not None or self.waits

    @property
    def waits(self) -> bool:
        """True where running it takes an event loop: to wait before a retry, or for the end of a limit."""
        return self.retries is not None or self.timeout_s is not None
