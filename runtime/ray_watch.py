"""Notes in the cluster of what a worker is working on, so that the attempt after its end knows why it ended.

A worker that is ended for its time limit cannot say so any more: to Ray it has died, and Ray runs the task again, under
the same id. That attempt finds the note, sees that the limit had passed, and reports it instead of working again.
"""

from __future__ import annotations

import json
import time

import ray

from . import ray_kv
from .call_options import CallOptions
from .errors import ServerUnavailable
from .time_limit import GRACE_S


class RayWatch:
    """See `task_body.Watch`; some 0.3 ms a note, so only for functions that have a time limit."""

    def __init__(self, options: CallOptions) -> None:
        self._options = options
        self._key = f"call:{ray.get_runtime_context().get_task_id()}"
        found = ray_kv.get(self._key)
        self._earlier = json.loads(found) if found else None
        self._attempt = self._earlier["attempt"] + 1 if self._earlier else 0
        self._began = 0.0

    @property
    def place(self) -> int:
        """Where in its batch, or after how many values, an earlier attempt ended."""
        return int(self._earlier["place"]) if self._earlier else 0

    def overdue(self) -> int | None:
        """The place of the call that was over its limit when the earlier attempt ended.

        Raises `ServerUnavailable` where the earlier attempt was lost otherwise and no retry is left.
        """
        if self._earlier is None:
            return None
        limit_s = (self._options.timeout_s or 0.0) + GRACE_S
        if time.time() - self._earlier["began"] >= limit_s:
            return self.place
        if self._attempt > self._options.retries.attempts:
            self.end()
            raise ServerUnavailable(lost(self._options.name))
        return None

    def begin(self, place: int) -> None:
        """Work on the call at that place begins."""
        self._began = time.time()
        self.advance(place)

    def advance(self, place: int) -> None:
        """The same work goes on, so many values having been handed over."""
        note = {"place": place, "began": self._began, "attempt": self._attempt}
        ray_kv.put(self._key, json.dumps(note).encode())

    def end(self) -> None:
        """All work of this attempt is done."""
        ray_kv.delete(self._key)


def lost(name: str, *, why: str = "died") -> str:
    """What is said of a call whose worker was lost for good."""
    return (
        f"{name}: its worker {why}, and so did every retry's: "
        "ask for more memory, raise retries, or look for a crash in native code"
    )
