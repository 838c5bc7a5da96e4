"""Adapter: the supervisor of schedules as a named, detached Ray actor, and what its jobs ask of it.

Ray starts it again when it dies; it goes on from the catalog. It sleeps until something is due or somebody calls.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from . import ray_cluster, ray_kv
from .errors import EaglerayError, NotFoundError, ServerUnavailable
from .packed_job import PackedJob
from .ray_jobs import RayJobs, check_outlives, own_id, own_notes
from .schedule_entry import FAILED, STOPPED, SUCCEEDED, ScheduledRun
from .schedule_place import at_home, book_of
from .settings import Settings
from .sql_schedules import ScheduleBook
from .supervisor import JobState, Supervisor

ANSWER_TIMEOUT_S = 60.0
# Clocks are set and machines sleep, so it never waits longer than that without looking at the time.
_LONGEST_WAIT_S = 60.0
_RETRY_S = 2.0
_CLUSTER_KEY = "schedules:cluster"
_NOTE_NAME, _NOTE_DUE, _NOTE_SUPERVISOR = "schedule", "due", "supervisor"


def ensure(settings: Settings) -> None:
    """Makes sure that the supervisor of the settings' place runs and knows of every change.

    Raises `ServerUnavailable` where the settings name no Ray that goes on when this process has ended.
    """
    settings = at_home(settings)
    check_outlives(settings, "schedule")
    ray_cluster.connect(settings)
    start(settings)


def start(settings: Settings) -> None:
    """The same for a process that is connected to that Ray."""
    settings = at_home(settings)
    local = settings.catalog.startswith("sqlite")
    book = book_of(settings)
    name = _actor_name(book)
    book.close()
    node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False) if local else None
    actor = ray.remote(ScheduleSupervisor).options(
        name=name,
        namespace=ray_cluster.NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=8,
        num_cpus=0,
        scheduling_strategy=node,  # a file is on one machine
    )
    handle: Any = actor.remote(settings)
    _answer(handle.wake.remote())


@dataclass(frozen=True, slots=True)
class DueJob:
    """Inside a job that a schedule started: which run it is, and the supervisor's ear."""

    run: ScheduledRun
    supervisor: str

    def begin(self) -> bool:
        """True where the function may run now; False where it has run, or is not wanted any more."""
        begun: bool = _answer(self._actor().begin.remote(self.run, secrets.token_hex(16)))
        return begun

    def end(self, state: str, *, run: str = "", error: str = "") -> None:
        """Tells how it has ended; a supervisor that does not answer will find out by itself."""
        ended = replace(self.run, state=state, run=run, error=error, ended_us=_now_us())
        try:
            _answer(self._actor().end.remote(self.run, ended))
        except ServerUnavailable as error_:
            sys.stderr.write(f"{error_}\n")

    def _actor(self) -> Any:
        return ray.get_actor(self.supervisor, namespace=ray_cluster.NAMESPACE)


def due_job() -> DueJob | None:
    """Inside a job: None where no schedule started it."""
    notes = own_notes()
    if _NOTE_DUE not in notes:
        return None
    run = ScheduledRun(notes[_NOTE_NAME], int(notes[_NOTE_DUE]), state="", version=0, job=own_id())
    return DueJob(run, notes[_NOTE_SUPERVISOR])


class ScheduleSupervisor:
    """A thread of its own does the supervisor's steps; calls wake it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster = _cluster()
        self._book = book_of(settings)
        self._called = threading.Event()
        threading.Thread(target=self._work, name="supervisor", daemon=True).start()

    def wake(self) -> int:
        """Something has changed in the catalog. Returns the process's id."""
        self._called.set()
        return os.getpid()

    def begin(self, run: ScheduledRun, token: str) -> bool:
        return self._book.begin(run, token=token, cluster=self._cluster, now_us=_now_us())

    def end(self, run: ScheduledRun, ended: ScheduledRun) -> None:
        self._book.end(run, ended, cluster=self._cluster)
        self._called.set()

    def _work(self) -> None:
        supervisor: Supervisor | None = None
        while True:
            self._called.clear()
            try:
                supervisor = supervisor or self._made()
                until_us = supervisor.step(_now_us())
                wait_s = _LONGEST_WAIT_S if until_us is None else (until_us - _now_us()) / 1e6
            except Exception:  # noqa: BLE001 - whatever it is, what is due next must still be started
                traceback.print_exc()
                wait_s = _RETRY_S
            self._called.wait(min(max(wait_s, 0.0), _LONGEST_WAIT_S))

    def _made(self) -> Supervisor:
        jobs = _Jobs(RayJobs(self._settings), _actor_name(self._book))
        return Supervisor(self._book, jobs, cluster=self._cluster)


class _Jobs:
    """See `supervisor.Jobs`."""

    def __init__(self, jobs: RayJobs, supervisor: str) -> None:
        self._jobs, self._supervisor = jobs, supervisor

    def start(self, job: PackedJob, run: ScheduledRun) -> None:
        notes = {_NOTE_NAME: run.schedule, _NOTE_DUE: str(run.due_us), _NOTE_SUPERVISOR: self._supervisor}
        self._jobs.start(job, job_id=run.job, notes=notes)

    def state(self, job_id: str) -> JobState | None:
        try:
            found = self._jobs.info(job_id)
        except NotFoundError:
            return None
        ended = {"SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "STOPPED": STOPPED}.get(found.status, "")
        message = "" if ended == SUCCEEDED else (found.message.strip().splitlines() or [""])[-1]
        return JobState(ended, message, found.ended_ms * 1_000)


def _actor_name(book: ScheduleBook) -> str:
    return f"schedules:{book.mark}"


def _cluster() -> str:
    """Names this life of the cluster: its notes go with it."""
    found = ray_kv.get(_CLUSTER_KEY)
    if found is None:
        ray_kv.put(_CLUSTER_KEY, secrets.token_hex(16).encode())
        found = ray_kv.get(_CLUSTER_KEY) or b""
    return found.decode()


def _answer(reference: Any) -> Any:
    try:
        return ray.get(reference, timeout=ANSWER_TIMEOUT_S)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EaglerayError):
            raise error.cause from None
        raise
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError) as error:
        raise ServerUnavailable(
            f"the supervisor of schedules does not answer ({type(error).__name__}): look at Ray's dashboard"
        ) from None


def _now_us() -> int:
    return time.time_ns() // 1_000
