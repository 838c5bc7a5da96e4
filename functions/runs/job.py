"""A function's call as a job of its own: it goes on when who submitted it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...runtime.call_options import CallOptions
from ...runtime.errors import ServerUnavailable
from ...runtime.failure import Failure
from ...runtime.settings import Settings

if TYPE_CHECKING:
    from ...runtime.ray_jobs import RayJobs

R = TypeVar("R")
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}
POLL_S = 0.2


@dataclass(frozen=True)  # no slots: `Job[int](id)` notes its parameter in the object
class Job(Generic[R]):
    """A job by its id, which is all that another process needs: `Job(id)`, for a type checker `Job[int](id)`."""

    id: str
    settings: Settings = field(default_factory=Settings.from_env, repr=False)

    @property
    def status(self) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
        return self._jobs().info(self.id).status

    def wait(self, timeout_s: float | None = None) -> str:
        """Waits until it has ended and gives its status; raises `TimeoutError`."""
        jobs = self._jobs()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (status := jobs.info(self.id).status) not in ENDED:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"job {self.id} is {status} after {timeout_s} s: it goes on; stop() ends it")
            time.sleep(POLL_S)
        return status

    def result(self, timeout_s: float | None = None) -> R:
        """Waits and gives what the function returned, or raises what it raised.

        Raises `ServerUnavailable` for a job that was stopped or died before it had a result.
        """
        status = self.wait(timeout_s)
        jobs = self._jobs()
        outcome = jobs.result(self.id)
        if isinstance(outcome, Failure):
            raise outcome.as_raised()
        if outcome is None:
            raise ServerUnavailable(f"job {self.id} {status.lower()} without a result: {jobs.info(self.id).message}")
        (value,) = outcome
        found: R = value
        return found

    def logs(self) -> str:
        """What it has printed so far."""
        return self._jobs().logs(self.id)

    def follow(self) -> Iterator[str]:
        """Yields what it prints, as it comes, until it has ended."""
        jobs = self._jobs()
        seen = 0
        while True:
            ended = jobs.info(self.id).status in ENDED  # asked first, so that the last lines are read after it
            text = jobs.logs(self.id)
            if len(text) > seen:
                yield text[seen:]
                seen = len(text)
            if ended:
                return
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Ends it; no error where it has ended already."""
        self._jobs().stop(self.id)

    def _jobs(self) -> RayJobs:
        from ...runtime.ray_jobs import RayJobs

        return RayJobs(self.settings)


def submit(fn: Callable[..., Any], options: CallOptions, args: Any, kwargs: Any) -> Job[Any]:
    """Starts the call as a job of the cluster that the environment names."""
    from ...runtime.ray_jobs import RayJobs
    from .tracked import described

    described(fn, args, kwargs)  # a wrong argument is told here, not in a job
    settings = Settings.from_env()
    return Job(RayJobs(settings).submit("eagleray.functions.job_main", (fn, args, kwargs), options), settings)
