"""A schedule and its runs as they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .schedule import Timing

# A run waits, is handed to the cluster, has begun; the other states are the ends it can come to.
QUEUED, STARTING, RUNNING = "QUEUED", "STARTING", "RUNNING"
SUCCEEDED, FAILED, STOPPED, LOST = "SUCCEEDED", "FAILED", "STOPPED", "LOST"
SKIPPED, MISSED = "SKIPPED", "MISSED"
LIVE = (QUEUED, STARTING, RUNNING)
# With overlap="allow": more at once only make each other slower.
MOST_ACTIVE = 8


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule; `next_us` is the first due time that is not decided yet, `content` is equal where nothing changed."""

    name: str
    function: str
    timing: Timing
    content: str
    next_us: int | None
    paused: bool = False
    version: int = 1
    made_us: int = 0


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """What became of one due time; times in microseconds since 1970. `asked` marks a run that somebody asked for."""

    schedule: str
    due_us: int
    state: str
    version: int
    asked: bool = False
    job: str = ""
    run: str = ""
    started_us: int | None = None
    ended_us: int | None = None
    error: str = ""


def startable(entry: ScheduleEntry, live: Sequence[ScheduledRun]) -> list[ScheduledRun]:
    """Which of a schedule's waiting runs may start now, the oldest first; what somebody asked for always may."""
    waiting = [run for run in live if run.state == QUEUED]
    asked = [run for run in waiting if run.asked]
    due = sorted((run for run in waiting if not run.asked), key=lambda run: run.due_us)
    active = sum(run.state != QUEUED and not run.asked for run in live)
    room = MOST_ACTIVE - active if entry.timing.overlap == "allow" else 1 - active
    return asked + ([] if entry.paused else due[: max(room, 0)])
