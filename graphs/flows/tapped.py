"""A step that hands copies to a function which nobody waits for."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from .chain import Stage
from .event import Batch, Event
from .step import Step
from .subjects import made, takes_event

MOST_WAITING = 4096
_LOG = logging.getLogger(__name__)
_END = object()


def tap_stage(step: Step) -> Stage:
    """Gives each event's copy to the function, in a thread of its own."""
    tapper = Tapper(step.name, made(step.subject))
    return Stage(step.name, tapper.put, close=tapper.close)


class Tapper:
    """Copies on their way to a function. `dropped` counts those that came while `MOST_WAITING` were waiting, `failed`
    those the function raised for: neither is an answer's matter."""

    def __init__(self, name: str, subject: Callable[..., Any]) -> None:
        self._name = name
        self._subject = subject
        self._wants_event = takes_event(subject)
        self._queue: queue.Queue[Any] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.dropped = 0
        self.failed = 0

    def put(self, batch: Batch) -> None:
        """Copies the batch's events; never waits."""
        if self._thread is None:
            self._start()
        for event in batch.events:
            if event.is_dry:
                continue
            try:
                self._queue.put_nowait(event.fork())
            except queue.Full:
                self.dropped += 1

    def close(self) -> None:
        """Hands out what waits, at most for a second."""
        if self._thread is not None:
            self._queue.put(_END)
            self._thread.join(1.0)

    def settle(self) -> None:
        """Returns when all copies have been handed out."""
        self._queue.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._hand_out, name=f"tap-{self._name}", daemon=True)
                self._thread.start()

    def _hand_out(self) -> None:
        while (event := self._queue.get()) is not _END:
            try:
                self._tell(event)
            finally:
                self._queue.task_done()

    def _tell(self, event: Event) -> None:
        try:
            self._subject(event if self._wants_event else event.body)
        except Exception:  # noqa: BLE001 - no answer hangs on it
            self.failed += 1
            if self.failed == 1:
                _LOG.warning("tap %s failed; further failures are only counted", self._name, exc_info=True)
