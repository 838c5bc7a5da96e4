"""A stream: the worker of one feature set, running in a thread beside the program."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from ..runtime.errors import EaglerayError, StorageError
from .worker import Worker

POLL_S = 0.05
SAVE_EVERY_S = 2.0
SAVE_AT_EVENTS = 50_000


class Stream:
    """Takes events to the online store as they come, and to the offline table every few seconds."""

    def __init__(self, worker: Worker, *, name: str) -> None:
        self._worker = worker
        self._name = name
        self._woken = threading.Condition()
        self._events = 0
        self._pending = True
        self._closing = False
        self._failure: EaglerayError | None = None
        self._thread = threading.Thread(target=self._run, name=f"stream {name}", daemon=True)
        self._thread.start()

    @property
    def events(self) -> int:
        """The events worked through since it began."""
        return self._events

    def wake(self) -> None:
        """There is news in the log; saves the wait for the next look."""
        with self._woken:
            self._pending = True
            self._woken.notify_all()

    def wait_for(self, offsets: Mapping[int, int], *, timeout_s: float = 60.0) -> None:
        """Returns once each partition is online up to its offset; raises the worker's failure, `StorageError`."""
        deadline = time.monotonic() + timeout_s
        with self._woken:
            while any(self._worker.online_at(partition) < offset for partition, offset in offsets.items()):
                if self._failure is not None:
                    raise self._failure
                if not self._woken.wait(deadline - time.monotonic()) and time.monotonic() > deadline:
                    raise StorageError(
                        f"stream {self._name}: not online after {timeout_s:g} s; is the machine overloaded?"
                    )

    def close(self) -> None:
        """Works through what is left, saves it offline and stops; raises the worker's failure."""
        with self._woken:
            self._closing = True
            self._woken.notify_all()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        saved = time.monotonic()
        try:
            while True:
                with self._woken:
                    if not (self._pending or self._closing):
                        self._woken.wait(POLL_S)
                    closing, self._pending = self._closing, False
                done = self._worker.drain()
                if done:
                    with self._woken:
                        self._events += done
                        self._woken.notify_all()
                due = time.monotonic() - saved > SAVE_EVERY_S or self._worker.unsaved_events > SAVE_AT_EVENTS
                if closing or due:
                    self._worker.save()
                    saved = time.monotonic()
                if closing:
                    return
        except EaglerayError as failure:
            with self._woken:
                self._failure = failure
                self._woken.notify_all()
