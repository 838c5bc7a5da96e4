"""The pool of trainers on Ray: one warm actor a CPU, all reading one copy of the data.

The fold goes to the object store once; actors on a machine map it without a copy. An actor that dies
takes its job along as a failed outcome and is replaced.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from ...runtime.errors import ServerUnavailable
from ..evaluation.metric import Task
from .learner import Fold, Learner
from .trainer import Bench, Job, Outcome, Portion

_MOST_DEATHS_A_WORKER = 3
_PATIENCE_S = 20.0  # for a CPU to become free, before one worker starts without waiting for its own
_START_S = 90.0  # for the first worker to be up


class TrainerActor:
    """One worker process; trains on one thread."""

    def __init__(
        self, x: Any, y: Any, train_rows: int, task: Task, metric: str, portions: Sequence[Portion] = (),
        queries: Any = None,
    ) -> None:  # fmt: skip
        fold = Fold(x=x, y=y, train_rows=train_rows, task=task, metric=metric, queries=queries)
        self._bench = Bench(fold, portions)

    def warm_up(self, learners: Sequence[str | Learner]) -> None:
        """Loads the libraries, so that no trial pays for that."""
        with _hidden("sklearn", "pandas"):
            self._bench.warm_up([one for one in learners if isinstance(one, str)])
        self._bench.warm_up([one for one in learners if not isinstance(one, str)])

    def run(self, job: Job) -> Outcome:
        """Does one job."""
        return self._bench.run(job)


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    # XGBoost and LightGBM load these when they find them, which takes 4 s of a worker's 5; nothing
    # here needs them. Harmless in a process that is a trainer and nothing else.
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


class RayPool:
    """Warm actors; see `trainer.Pool`. Ray must be up."""

    def __init__(
        self,
        fold: Fold,
        *,
        learners: Sequence[str | Learner],
        workers: int | None = None,
        portions: Sequence[Portion] = (),
    ) -> None:
        cpus = int(_resources("cluster_resources"))
        self._workers = max(1, min(workers or cpus, cpus))
        self._learners = tuple(learners)
        self._data = (ray.put(fold.x), ray.put(fold.y))
        self._about = (fold.train_rows, fold.task, fold.metric, tuple(portions), fold.queries)
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(TrainerActor)
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}  # reference to the warm-up -> actor
        self._running: dict[Any, tuple[Any, Job, float]] = {}  # reference to the outcome -> who, what, since
        self._deaths = 0
        self._last_death = ""
        self._ever_ready = self._squeezed = False
        self._began = time.monotonic()
        for _ in range(self._workers):
            self._spawn(cpus=1)

    @property
    def workers(self) -> int:
        """How many jobs run at once when all workers are up."""
        return self._workers

    @property
    def idle(self) -> int:
        """How many jobs can be submitted now."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many jobs run now."""
        return len(self._running)

    def submit(self, job: Job) -> None:
        """Hands a job to an idle worker."""
        actor = self._idle.pop()
        self._running[actor.run.remote(job)] = (actor, job, time.monotonic())

    def wait(self, timeout_s: float) -> list[Outcome]:
        """The jobs that ended within that time; also returns, with none, when a worker became ready.

        Raises `ServerUnavailable` where workers keep dying or none starts.
        """
        waiting = [*self._running, *self._starting]
        if not waiting:
            return []
        ended, rest = ray.wait(waiting, timeout=max(timeout_s, 0.0))
        if ended and rest:  # whatever else has ended in the meantime
            ended += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        outcomes = []
        for reference in ended:
            if reference in self._starting:
                self._welcome(reference)
            else:
                outcomes.append(self._collect(reference))
        self._keep_going()
        return outcomes

    def cancel(self) -> None:
        """Ends what runs now; its workers are replaced."""
        running = list(self._running.values())
        self._running.clear()
        for actor, _, _ in running:
            ray.kill(actor)
            self._spawn(cpus=1)

    def close(self) -> None:
        """Ends all workers, with what they are doing, and lets go of the data."""
        actors = [*self._idle, *self._starting.values(), *(actor for actor, _, _ in self._running.values())]
        self._idle, self._starting, self._running = [], {}, {}
        for actor in actors:
            ray.kill(actor)
        self._data = ()  # type: ignore[assignment]

    def _spawn(self, *, cpus: int) -> None:
        actor: Any = self._actor.options(num_cpus=cpus).remote(*self._data, *self._about)
        self._starting[actor.warm_up.remote(self._learners)] = actor

    def _welcome(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            ray.get(reference)
        except RayTaskError as problem:  # the library is missing or broken: no other worker will do better
            raise ServerUnavailable(f"a training worker cannot start: {_first_line(problem)}") from None
        except RayError as problem:
            self._replace(problem)
        else:
            self._ever_ready = True
            self._idle.append(actor)

    def _collect(self, reference: Any) -> Outcome:
        actor, job, since = self._running.pop(reference)
        try:
            outcome: Outcome = ray.get(reference)
        except RayTaskError as problem:
            self._idle.append(actor)
            return Outcome(job=job, seconds=time.monotonic() - since, error=_first_line(problem))
        except RayError as problem:
            self._replace(problem)
            return Outcome(job=job, seconds=time.monotonic() - since, error=f"its worker died: {_first_line(problem)}")
        self._idle.append(actor)
        return outcome

    def _replace(self, problem: RayError) -> None:
        self._deaths += 1
        self._last_death = _first_line(problem)
        if self._deaths > _MOST_DEATHS_A_WORKER * self._workers:
            raise ServerUnavailable(
                f"training workers keep dying ({self._last_death}): use fewer workers or a smaller table"
            )
        self._spawn(cpus=1)

    def _keep_going(self) -> None:
        """Where every CPU is taken, e.g. by replicas, one worker shares one; where nothing starts, says so."""
        waited = time.monotonic() - self._began
        if self._ever_ready or waited < _PATIENCE_S:
            return
        if not self._squeezed and _resources("available_resources") < 1:
            self._squeezed = True
            self._spawn(cpus=0)
        if waited > _START_S:
            raise ServerUnavailable(
                f"no training worker came up in {waited:.0f} s: free a CPU or look at the Ray dashboard"
            )


def _resources(which: str) -> float:
    """The CPUs that Ray's function of that name reports."""
    found: dict[str, float] = getattr(ray, which)()
    return found.get("CPU", 0.0)


def _first_line(problem: BaseException) -> str:
    cause = getattr(problem, "cause", None) or problem
    if isinstance(problem, RayActorError) and not isinstance(problem, RayTaskError):
        return "it was killed or ran out of memory"
    lines = [line for line in str(cause).strip().splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0][:300] if lines else ''}"
