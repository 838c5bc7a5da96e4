"""The tap: copies what was served into arrays and sends it off, without ever holding a request up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import DefinitionError

Floats = NDArray[np.float64]
Sink = Callable[["TapBatch"], None]

FLUSH_MS = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class TapBatch:
    """Served requests in the order they came: ids, rows (n x features, NaN = null), scores and times (n).

    `dropped` is how many requests were lost since the batch before: refused by the tap or by its sink.
    `reasons` are each request's version of the reason codes and its codes; empty where no step finds any.
    """

    names: tuple[str, ...]
    ids: list[str]
    rows: Floats
    scores: Floats
    ts_us: NDArray[np.int64]
    dropped: int = 0
    reasons: Sequence[Sequence[str]] = ()

    def __len__(self) -> int:
        return len(self.ids)


class _Buffer:
    """Room for `capacity` requests."""

    __slots__ = ("ids", "reasons", "rows", "scores", "size", "ts_us")

    def __init__(self, capacity: int, features: int) -> None:
        self.ids: list[str] = [""] * capacity
        self.rows = np.empty((capacity, features))
        self.scores = np.empty(capacity)
        self.ts_us = np.empty(capacity, np.int64)
        self.reasons: list[Sequence[str]] = [()] * capacity
        self.size = 0


class TapBuffer:
    """Collects requests and hands `TapBatch`es to `sink` on a thread of its own.

    A batch goes when `capacity` requests are in, or `flush_ms` after the first of them. There are two buffers: while
    one is handed over the other fills; when both are full, requests are dropped and counted, so memory is
    bounded however slow the sink. A failing sink costs its batch, which is counted too.
    """

    __slots__ = (
        "_active",
        "_capacity",
        "_closed",
        "_done",
        "_dropped",
        "_flush_s",
        "_full",
        "_lock",
        "_sent",
        "_sink",
        "_spare",
        "_thread",
        "_turned",
        "_urgent",
        "_wake",
        "names",
    )

    def __init__(self, names: tuple[str, ...], sink: Sink, capacity: int = 1024, *, flush_ms: int = FLUSH_MS) -> None:
        if capacity < 1 or flush_ms < 1:
            raise DefinitionError(f"a tap of {capacity} rows and {flush_ms} ms: give 1 or more of each")
        self.names = tuple(names)
        self._sink = sink
        self._capacity = capacity
        self._flush_s = flush_ms / 1_000
        self._active = _Buffer(capacity, len(self.names))
        self._spare: _Buffer | None = _Buffer(capacity, len(self.names))
        self._full: _Buffer | None = None
        self._dropped = 0
        self._closed = False
        self._urgent = False
        self._turned = 0
        self._sent = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._done = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="eagleray-tap", daemon=True)
        self._thread.start()

    def put(self, request_id: str, row: Floats, score: float, ts_us: int, reasons: Sequence[str] = ()) -> None:
        """Copies one request in: `row` holds a float64 a feature. Never blocks, never raises."""
        with self._lock:
            buffer = self._active
            at = buffer.size
            if at == self._capacity or self._closed:
                self._dropped += 1
                return
            try:
                buffer.rows[at] = row
                buffer.scores[at] = score
                buffer.ts_us[at] = ts_us
            except (TypeError, ValueError, OverflowError):
                self._dropped += 1  # a row of another shape must not cost the caller its answer
                return
            buffer.ids[at] = request_id
            buffer.reasons[at] = reasons
            buffer.size = at + 1
            if at == 0:
                self._wake.set()  # the clock of this batch starts now
            if at + 1 == self._capacity:
                self._turn_over()

    def flush(self, *, timeout_s: float = 5.0) -> bool:
        """Hands over all that was put so far; True when the sink has had it within `timeout_s`."""
        with self._lock:
            goal = self._turned + (1 if self._active.size else 0)
            self._urgent = True
            self._wake.set()
            return self._done.wait_for(lambda: self._sent >= goal, timeout_s)

    def close(self, *, timeout_s: float = 5.0) -> bool:
        """Flushes and ends the thread; what is put later is dropped. True when all was handed over."""
        with self._lock:
            self._closed = True
            self._wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _turn_over(self) -> None:
        """Makes the active buffer the full one if another is free; the lock is held."""
        if self._spare is not None and self._active.size:
            self._full, self._active, self._spare = self._active, self._spare, None
            self._turned += 1
            self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            with self._lock:
                self._wake.clear()
                wait = self._full is None and not (self._urgent or self._closed)
            # The first row of a batch starts its clock; a full buffer, a flush or the end stops it early.
            late = wait and not self._wake.wait(self._flush_s)
            with self._lock:
                partly = late or self._urgent or self._closed
                self._urgent = False
            while (batch := self._take(partly=False)) is not None:
                self._send(batch)
            if partly and (batch := self._take(partly=True)) is not None:
                self._send(batch)
            with self._lock:
                if self._active.size or self._full is not None:
                    self._wake.set()
                elif self._closed:
                    return

    def _take(self, *, partly: bool) -> TapBatch | None:
        """A copy of the full buffer (or of what is there), which is free again; None when there is none."""
        with self._lock:
            if partly and self._full is None:
                self._turn_over()
            if self._full is None:
                return None
            buffer, dropped = self._full, self._dropped
            self._dropped = 0
        # Nobody writes into the full buffer, so the copy needs no lock.
        n = buffer.size
        batch = TapBatch(
            names=self.names,
            ids=buffer.ids[:n],
            rows=buffer.rows[:n].copy(),
            scores=buffer.scores[:n].copy(),
            ts_us=buffer.ts_us[:n].copy(),
            dropped=dropped,
            reasons=buffer.reasons[:n] if any(buffer.reasons[:n]) else (),
        )
        with self._lock:
            buffer.size = 0
            self._full, self._spare = None, buffer
            if self._active.size == self._capacity:
                self._turn_over()
        return batch

    def _send(self, batch: TapBatch) -> None:
        try:
            self._sink(batch)
        except Exception:  # noqa: BLE001 - a sink may fail in any way; the loss is counted and told with the next batch
            with self._lock:
                self._dropped += len(batch) + batch.dropped
        with self._lock:
            self._sent += 1
            self._done.notify_all()
