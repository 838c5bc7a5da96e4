"""A batch ingestion: accepted rows through the log into both stores, a piece at a time.

The rows go the way of every event, so they have their places between those of a stream, and a crash at any point is
mended by the next worker, whoever that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from .log import EventLog
from .worker import Worker

ROWS_A_PIECE = 200_000  # what the log holds at once; it lies in the memory of a server


def backfill(worker: Worker, log: EventLog, parts: dict[int, pl.DataFrame], *, on_events: Callable[[int], None]) -> int:
    """Stores rows, by partition, offline and online; the number of events that count."""
    worker.drain()
    worker.save()
    done = 0
    for piece in _pieces(parts):
        log.append(piece)
        events = worker.drain()
        worker.save()
        on_events(events)
        done += events
    return done


def _pieces(parts: dict[int, pl.DataFrame]) -> Iterator[dict[int, pl.DataFrame]]:
    tallest = max((frame.height for frame in parts.values()), default=0)
    for first in range(0, tallest, ROWS_A_PIECE):
        piece = {partition: frame.slice(first, ROWS_A_PIECE) for partition, frame in parts.items()}
        yield {partition: frame for partition, frame in piece.items() if frame.height}
