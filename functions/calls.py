"""Many calls of one function: in order, bounded in flight, small items in batches that grow to fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

from ..runtime.task_body import Outcome

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

    def result(self, ticket: Ticket) -> Outcome[R]:
        """Waits for one batch; raises `ServerUnavailable` when its worker was lost for good."""
        ...

    def cancel(self, tickets: list[Ticket]) -> None:
        """Ends batches whose results nobody will read."""
        ...


def next_size(size: int, outcome: Outcome[R]) -> int:
    """Items for the next batch, judged by one of `size` items: towards 100 ms and 8 MiB, at most 8 times more."""
    done = max(1, len(outcome.values))
    by_time = TARGET_S / max(outcome.spent_s / done, 1e-9)
    by_bytes = TARGET_BYTES / max(outcome.item_bytes, 1)
    return round(max(1.0, min(by_time, by_bytes, size * GROWTH, MAX_ITEMS)))


def map_in_order(batches: Batches[Ticket, R], items: Iterable[object]) -> Iterator[R]:
    """Yields each item's result in order; at most `AHEAD` batches per slot are started and not yet read.

    An item's error is raised after the results before it; work that nobody will read is cancelled then, and also
    when the reader stops early.
    """
    source = iter(items)
    waiting: deque[tuple[Ticket, int]] = deque()
    size, window, drained = 1, AHEAD * batches.slots, False
    try:
        while True:
            while not drained and len(waiting) < window:
                batch = list(islice(source, size))
                if not batch:
                    drained = True
                    break
                waiting.append((batches.submit(batch), len(batch)))
            if not waiting:
                return
            ticket, count = waiting[0]
            outcome = batches.result(ticket)
            waiting.popleft()
            if count == size:  # an older, smaller batch says less than what is already known
                size = next_size(size, outcome)
            yield from outcome.values
            if outcome.failure is not None:
                raise outcome.failure.as_raised()
    finally:
        if waiting:
            batches.cancel([ticket for ticket, _ in waiting])
