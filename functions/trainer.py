"""The port to those who train: jobs in, outcomes out, and a pool that works in this process.

`ray_trainer` is the pool of warm Ray actors; `LocalPool` trains one job at a time, for tests and for
debugging.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .learner import Config, Fitted, Fold, Trainer, learner


@dataclass(frozen=True, slots=True)
class Job:
    """One training: a trial of at most `limit_s` seconds, or with `rounds` the final fit on all rows."""

    number: int
    learner: str
    config: Config
    seed: int
    limit_s: float = 0.0
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job came to: `fitted` for a trial, `booster` for a final fit, `error` where it failed."""

    job: Job
    seconds: float
    fitted: Fitted | None = None
    booster: bytes = b""
    error: str = ""


class Pool(Protocol):
    """Workers that share one fold."""

    @property
    def workers(self) -> int:
        """How many jobs run at once when all workers are up."""
        ...

    @property
    def idle(self) -> int:
        """How many jobs can be submitted now."""
        ...

    @property
    def busy(self) -> int:
        """How many jobs run now."""
        ...

    def submit(self, job: Job) -> None:
        """Hands a job to an idle worker."""
        ...

    def wait(self, timeout_s: float) -> list[Outcome]:
        """The jobs that ended within that time, at least one unless time ran out."""
        ...

    def cancel(self) -> None:
        """Ends what runs now without an outcome; its workers are replaced."""
        ...

    def close(self) -> None:
        """Ends all workers, with what they are doing."""
        ...


class Bench:
    """A worker's own side: the fold and one trainer a learner, made when first needed."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._trainers: dict[str, Trainer] = {}

    def warm_up(self, learners: Sequence[str]) -> None:
        """Loads those learners' libraries."""
        for name in learners:
            self._trainer(name)

    def run(self, job: Job, *, clock: Callable[[], float] = time.monotonic) -> Outcome:
        """Does the job; what the library raises goes to the caller."""
        began = clock()
        trainer = self._trainer(job.learner)
        if job.rounds:
            booster = trainer.refit(job.config, rounds=job.rounds, seed=job.seed)
            return Outcome(job=job, seconds=clock() - began, booster=booster)
        fitted = trainer.train(job.config, limit_s=job.limit_s, seed=job.seed)
        return Outcome(job=job, seconds=clock() - began, fitted=fitted)

    def _trainer(self, name: str) -> Trainer:
        if name not in self._trainers:
            self._trainers[name] = learner(name).trainer(self._fold)
        return self._trainers[name]


class LocalPool:
    """One job at a time in this process, done when it is waited for."""

    workers = 1

    def __init__(self, fold: Fold) -> None:
        self._bench = Bench(fold)
        self._jobs: deque[Job] = deque()

    @property
    def idle(self) -> int:
        """One where nothing is submitted."""
        return 0 if self._jobs else 1

    @property
    def busy(self) -> int:
        """One where something is."""
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        """Keeps the job until `wait`."""
        self._jobs.append(job)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Does what was submitted; an error of the library becomes a failed outcome."""
        if not self._jobs:
            return []
        job = self._jobs.popleft()
        try:
            return [self._bench.run(job)]
        except Exception as problem:  # noqa: BLE001 - any error of a foreign library is one trial's failure
            return [Outcome(job=job, seconds=0.0, error=f"{type(problem).__name__}: {problem}")]

    def cancel(self) -> None:
        """Forgets what was submitted."""
        self._jobs.clear()

    def close(self) -> None:
        """Forgets what was submitted."""
        self._jobs.clear()
