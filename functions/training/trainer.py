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

import numpy as np
import numpy.typing as npt

from ...runtime.errors import InputError
from .learner import Booster, Config, Fitted, Fold, Learner, Rows, Trainer, by_name, learner

Which = slice | npt.NDArray[np.int64]

_EXPLAINED_ROWS = (4, 256)
_EXPLAINED_WORK = 120_000_000  # rows x bytes of the booster: at most a second of TreeSHAP


@dataclass(frozen=True, slots=True)
class Portion:
    """Some `rows` of a fold, the first `train_rows` of them to learn from, and rows `held` out to be scored."""

    rows: Which
    train_rows: int
    held: Which

    def of(self, fold: Fold) -> Fold:
        """Those rows as a fold; a view where they are a slice."""
        queries = None if fold.queries is None else fold.queries[self.rows]
        return Fold(fold.x[self.rows], fold.y[self.rows], self.train_rows, fold.task, fold.metric, queries)


@dataclass(frozen=True, slots=True)
class Job:
    """One training: a trial of at most `limit_s` seconds, or with `rounds` the final fit on all rows.

    With a `portion` (its number in the pool) its rows are all there are.
    """

    number: int
    learner: str
    config: Config
    seed: int
    limit_s: float = 0.0
    rounds: int = 0
    portion: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job came to: `fitted` for a trial, `booster` for a final fit, `error` where it failed.

    A final fit on a portion scores the rows held out (`held`, margins); one on all rows tells each feature's mean
    |contribution| to the margin (`importance`).
    """

    job: Job
    seconds: float
    fitted: Fitted | None = None
    booster: bytes = b""
    error: str = ""
    held: Rows | None = None
    importance: Rows | None = None


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
    """A worker's own side: the fold and one trainer a learner, made when first needed; of one portion at a time."""

    def __init__(self, fold: Fold, portions: Sequence[Portion] = ()) -> None:
        self._fold = fold
        self._portions = portions
        self._at: int | None = None
        self._trainers: dict[str, Trainer] = {}
        self._learners: dict[str, Learner] = {}

    def warm_up(self, learners: Sequence[str | Learner]) -> None:
        """Knows those learners from now on, and loads their libraries."""
        known = by_name(learners)
        self._learners |= known
        for name in known:
            self._trainer(name, None)

    def run(self, job: Job, *, clock: Callable[[], float] = time.monotonic) -> Outcome:
        """Does the job; what the library raises goes to the caller."""
        began = clock()
        trainer = self._trainer(job.learner, job.portion)
        if job.rounds:
            booster = trainer.refit(job.config, rounds=job.rounds, seed=job.seed)
            seconds = clock() - began
            held = importance = None
            if job.portion is not None:
                rows = np.ascontiguousarray(self._fold.x[self._portions[job.portion].held])
                held = self._learner(job.learner).booster(booster).margins(rows).astype(np.float32)
            else:
                importance = self._importance(job.learner, booster)
            return Outcome(job=job, seconds=seconds, booster=booster, held=held, importance=importance)
        fitted = trainer.train(job.config, limit_s=job.limit_s, seed=job.seed)
        return Outcome(job=job, seconds=clock() - began, fitted=fitted)

    def _trainer(self, name: str, portion: int | None) -> Trainer:
        if portion != self._at:  # what the trainers hold of another portion is not needed again
            self._trainers, self._at = {}, portion
        if name not in self._trainers:
            fold = self._fold if portion is None else self._portions[portion].of(self._fold)
            self._trainers[name] = self._learner(name).trainer(fold)
        return self._trainers[name]

    def _learner(self, name: str) -> Learner:
        return self._learners.get(name) or learner(name)

    def _importance(self, name: str, data: bytes) -> Rows:
        """Over rows spread evenly, fewer of them for a larger booster."""
        count = int(np.clip(_EXPLAINED_WORK // max(1, len(data)), *_EXPLAINED_ROWS))
        rows = np.unique(np.linspace(0, len(self._fold.y) - 1, count).astype(np.int64))
        some = np.ascontiguousarray(self._fold.x[rows])
        booster = self._learner(name).booster(data)
        try:
            parts = booster.contributions(some)
        except InputError:  # it has none
            return moved(booster, some)
        found: Rows = np.abs(parts[:, :-1]).mean(axis=0).astype(np.float32)
        return found


def moved(booster: Booster, rows: Rows) -> Rows:
    """How far a margin moves, in the mean, when a feature has another row's value: for boosters without
    contributions (permutation importance, Breiman 2001, of the margin)."""
    before = booster.margins(rows)
    others = np.random.default_rng(0).permutation(len(rows))
    found = np.empty(rows.shape[1], dtype=np.float32)
    for feature in range(rows.shape[1]):
        changed = rows.copy()
        changed[:, feature] = rows[others, feature]
        found[feature] = np.abs(booster.margins(changed) - before).mean()
    return found


class LocalPool:
    """One job at a time in this process, done when it is waited for."""

    workers = 1

    def __init__(self, fold: Fold, portions: Sequence[Portion] = (), learners: Sequence[str | Learner] = ()) -> None:
        self._bench = Bench(fold, portions)
        self._bench.warm_up(learners)
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
