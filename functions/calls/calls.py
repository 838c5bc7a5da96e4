"""Many calls of one function: in order or as they end, bounded in flight, small items in batches that grow to fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from ...runtime.failure import Failure
from ...runtime.task_body import Outcome

R = TypeVar("R")
Ticket = TypeVar("Ticket")

# One task costs Ray one to three milliseconds, so 100 ms of work a batch leaves some 2% for it, and
# still spreads items of 50 ms evenly.
TARGET_S = 0.1
TARGET_BYTES = 8 << 20
GROWTH = 8
MAX_ITEMS = 4096
AHEAD = 4  # batches in flight per slot: enough that no slot waits for the reader


class Batches(Protocol[Ticket, R]):
    """Where batches run: Ray, or memory in a test."""

    @property
    def slots(self) -> int:
        """How many batches run at the same time."""
        ...

    def submit(self, items: list[object]) -> Ticket:
        """Starts one batch."""
        ...

    def any_of(self, tickets: Sequence[Ticket]) -> Ticket:
        """Waits until one of these is done."""
        ...

    def result(self, ticket: Ticket) -> Outcome[R]:
        """Waits for one batch; raises `ServerUnavailable` when its worker was lost for good."""
        ...

    def cancel(self, tickets: list[Ticket]) -> None:
        """Ends batches whose results nobody will read."""
        ...

    def close(self) -> None:
        """The map has ended."""
        ...


def next_size(size: int, outcome: Outcome[R]) -> int:
    """Items for the next batch, judged by one of `size` items: towards 100 ms and 8 MiB, at most 8 times more."""
    done = max(1, len(outcome.values))
    by_time = TARGET_S / max(outcome.spent_s / done, 1e-9)
    by_bytes = TARGET_BYTES / max(outcome.item_bytes, 1)
    return round(max(1.0, min(by_time, by_bytes, size * GROWTH, MAX_ITEMS)))


def map_items(
    batches: Batches[Ticket, R],
    items: Iterable[object],
    *,
    ordered: bool = True,
    return_exceptions: bool = False,
    at_once: int | None = None,
) -> Iterator[Any]:
    """Yields each item's result; at most `AHEAD` batches per slot (`at_once` in all) are started and not yet read.

    An item's error is raised after the results before it, or stands in its place; work that nobody will read is
    cancelled when an error is raised and when the reader stops early.
    """
    source = iter(items)
    waiting: dict[Ticket, int] = {}  # in the order they were started
    size, window, drained = 1, at_once or AHEAD * batches.slots, False
    try:
        while True:
            while not drained and len(waiting) < window:
                batch = list(islice(source, size))
                if not batch:
                    drained = True
                    break
                waiting[batches.submit(batch)] = len(batch)
            if not waiting:
                return
            ticket = next(iter(waiting)) if ordered else batches.any_of(list(waiting))
            outcome = batches.result(ticket)
            if waiting.pop(ticket) == size:  # an older, smaller batch says less than what is already known
                size = next_size(size, outcome)
            for value in outcome.values:
                if not isinstance(value, Failure):
                    yield value
                elif return_exceptions:
                    yield value.as_raised()
                else:
                    raise value.as_raised()
    finally:
        if waiting:
            batches.cancel(list(waiting))
        batches.close()


class Streams(Protocol[Ticket]):
    """Where generator functions run, one item each."""

    @property
    def slots(self) -> int:
        """How many run at the same time."""
        ...

    def submit(self, item: object) -> Ticket:
        """Starts one item's generator."""
        ...

    def values(self, ticket: Ticket) -> Iterator[Any]:
        """What it yields, as it comes."""
        ...

    def cancel(self, tickets: list[Ticket]) -> None:
        """Ends generators whose values nobody will read."""
        ...


def map_streams(streams: Streams[Ticket], items: Iterable[object]) -> Iterator[Any]:
    """Yields what each item's generator yields, item after item, as it comes; those of later items run meanwhile."""
    source = iter(items)
    waiting: list[Ticket] = []
    try:
        while True:
            waiting += [streams.submit(item) for item in islice(source, streams.slots - len(waiting))]
            if not waiting:
                return
            yield from streams.values(waiting[0])
            waiting.pop(0)
    finally:
        if waiting:
            streams.cancel(waiting)
