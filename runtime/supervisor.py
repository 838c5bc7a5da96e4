"""What a supervisor of schedules does at one moment: decides what is due, starts it, notes how it ended.

It keeps nothing that its successor needs: all of it is in the catalog, so it may be killed between any two lines. A run
is claimed there before its job is started, under an id made of its schedule and due time that the cluster takes once;
the job itself asks before its first step whether it may.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from .errors import EaglerayError, NotFoundError
from .packed_job import PackedJob
from .schedule import MOST_AT_ONCE, decide
from .schedule_entry import QUEUED, RUNNING, ScheduledRun, ScheduleEntry, startable
from .sql_schedules import ScheduleBook

# So often is looked whether a job has ended that did not say so itself; nothing is looked at while none runs.
LOOK_US = 2_000_000
KEPT_RUNS = 1_000
_PRUNE_EVERY = 100
_STARTERS = 4


@dataclass(frozen=True, slots=True)
class JobState:
    """How a job is doing; `ended` is the state of a run that it comes to, "" while it goes on."""

    ended: str
    message: str
    ended_us: int


class Jobs(Protocol):
    """Where runs are started."""

    def start(self, job: PackedJob, run: ScheduledRun) -> None:
        """Starts the run's job, whose id is `run.job`; no error where there is one of that id."""

    def state(self, job_id: str) -> JobState | None:
        """How it is doing; None where nobody started one of that id."""


class Supervisor:
    """Not for two threads at once; `cluster` names the cluster's life, another one after a restart."""

    def __init__(self, book: ScheduleBook, jobs: Jobs, *, cluster: str) -> None:
        self._book, self._jobs, self._cluster = book, jobs, cluster
        self._starters = ThreadPoolExecutor(_STARTERS, thread_name_prefix="starter")
        self._starting: dict[tuple[str, int], Future[None]] = {}
        self._decided = 0
        self._adopted = False

    def step(self, now_us: int) -> int | None:
        """Does what is to be done now and returns when to come again, unless called earlier; None for never."""
        if not self._adopted:
            self._book.adopt(self._cluster, now_us=now_us)
            self._adopted = True
        self._watch(now_us)
        for entry in self._book.due(now_us):
            self._decide(entry, now_us)
        self._start(now_us)
        live = any(run.state != QUEUED for run in self._book.live())
        next_us = self._book.next_us()
        if next_us is None or next_us > now_us:
            return min((at for at in (next_us, now_us + LOOK_US if live else None) if at is not None), default=None)
        return now_us + LOOK_US  # what waits already is enough to go on with

    def settle(self) -> None:
        """Waits for the starts that are under way."""
        for future in list(self._starting.values()):
            future.result()

    def _decide(self, entry: ScheduleEntry, now_us: int) -> None:
        live = [run for run in self._book.live() if run.schedule == entry.name and not run.asked]
        if entry.next_us is None or len(live) >= MOST_AT_ONCE:
            return
        decision = decide(entry.timing, due_us=entry.next_us, now_us=now_us)
        # What is caught up waits its turn; the rule is for a due time that comes while the run before goes on.
        skipped = entry.timing.overlap == "skip" and bool(live) and len(decision.run) == 1
        self._book.decide(entry, decision, skipped=skipped, now_us=now_us)
        self._decided += 1
        if self._decided % _PRUNE_EVERY == 0:
            self._book.prune(entry.name, keep=KEPT_RUNS)

    def _start(self, now_us: int) -> None:
        live = defaultdict(list)
        for run in self._book.live():
            live[run.schedule].append(run)
        if not any(run.state == QUEUED for runs in live.values() for run in runs):
            return
        for entry in self._book.entries():
            for run in startable(entry, live[entry.name]):
                job = job_id(run, self._book.mark)
                if self._book.claim(run, job=job, cluster=self._cluster):
                    self._hand_over(replace(run, job=job), now_us)

    def _hand_over(self, run: ScheduledRun, now_us: int) -> None:
        key = (run.schedule, run.due_us)
        self._starting[key] = self._starters.submit(self._started, run, now_us)

    def _started(self, run: ScheduledRun, now_us: int) -> None:
        try:
            self._jobs.start(self._book.job(run.schedule), run)
        except NotFoundError as error:  # deleted a moment ago
            self._end(run, "SKIPPED", str(error), now_us)
        except EaglerayError as error:
            self._end(run, "FAILED", f"it could not be started: {error}", now_us)

    def _watch(self, now_us: int) -> None:
        """Ends the runs whose jobs have, and starts those again that a predecessor claimed and did not get to."""
        self._starting = {key: future for key, future in self._starting.items() if not future.done()}
        for run in self._book.live():
            if run.state == QUEUED or (run.schedule, run.due_us) in self._starting:
                continue
            found = self._jobs.state(run.job)
            if found is None and run.state == RUNNING:
                self._end(run, "LOST", "the cluster knows nothing of its job any more", now_us)
            elif found is None:
                self._hand_over(run, now_us)
            elif found.ended:
                self._end(run, found.ended, found.message, found.ended_us or now_us)

    def _end(self, run: ScheduledRun, state: str, error: str, at_us: int) -> None:
        self._book.end(run, replace(run, state=state, error=error, ended_us=at_us), cluster=self._cluster)


def job_id(run: ScheduledRun, mark: str) -> str:
    """The id of a run's job: one of that id is started at most once. `mark` is that of the schedules' book."""
    due = datetime.fromtimestamp(run.due_us // 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    asked = f"-{run.due_us % 1_000_000:06}" if run.asked else ""
    return f"{run.schedule}-{due}{asked}-{mark}"
