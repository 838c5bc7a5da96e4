"""How the streams of a feature set stand: who has which partition, how far it is behind, what went wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..events.leases import Leases, lease_name
from ..events.log import EventLog


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition: `owner` None means that nobody works it through; `held_events` wait for the offline table."""

    partition: int
    owner: str | None
    lag_events: int
    lag_s: float
    held_events: int


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker, as it told at its last heartbeat; `events` since it began, `events_s` of late."""

    owner: str
    host: str
    pid: int
    events: int
    events_s: float
    error: str | None


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """All of one feature set version."""

    name: str
    partitions: tuple[PartitionStatus, ...]
    workers: tuple[WorkerStatus, ...]
    dead_letters: int

    @property
    def lag_events(self) -> int:
        """Events that are not online yet."""
        return sum(one.lag_events for one in self.partitions)

    @property
    def lag_s(self) -> float:
        """How long the oldest of them has waited."""
        return max((one.lag_s for one in self.partitions), default=0.0)

    @property
    def events_s(self) -> float:
        """What all workers together get through."""
        return sum(one.events_s for one in self.workers)

    @property
    def last_error(self) -> str | None:
        """Of a worker that has one."""
        return next((one.error for one in self.workers if one.error), None)


def status_of(name: str, group: str, log: EventLog, leases: Leases) -> StreamStatus:
    """A look from outside, four round trips; needs neither the set's code nor Ray."""
    partitions = range(log.partitions)
    roll = leases.beat(group, [lease_name(group, partition) for partition in partitions])
    ends, done, held = log.ends(), log.checkpoints(), log.held()
    since = log.waiting_since_ms(done)
    now_ms = time.time_ns() // 1_000_000
    return StreamStatus(
        name,
        tuple(
            PartitionStatus(
                partition=partition,
                owner=roll.holders[lease_name(group, partition)],
                lag_events=0 if at is None else max(0, ends[partition] - done[partition]),
                lag_s=0.0 if at is None else max(0, now_ms - at) / 1000,
                held_events=held[partition].events,
            )
            for partition in partitions
            for at in (since[partition],)
        ),
        tuple(_worker(owner, note) for owner, note in sorted(roll.members.items())),
        log.buried_count(),
    )


def note_of(*, host: str, pid: int, events: int, events_s: float, error: str | None) -> str:
    """What a worker tells the others at each heartbeat."""
    return json.dumps({"host": host, "pid": pid, "events": events, "events_s": round(events_s, 1), "error": error})


def prometheus(found: Sequence[StreamStatus]) -> str:
    """All of it in the text format that Prometheus reads."""
    lines: list[str] = []

    def metric(name: str, kind: str, text: str, values: Sequence[tuple[str, float]]) -> None:
        lines.extend((f"# HELP {name} {text}", f"# TYPE {name} {kind}"))
        lines.extend(f"{name}{{{labels}}} {value}" for labels, value in values)

    places = [(_labels(set=one.name, partition=str(p.partition)), p) for one in found for p in one.partitions]
    workers = [(_labels(set=one.name, worker=w.owner), w) for one in found for w in one.workers]
    metric("eagleray_stream_lag_events", "gauge", "Events in the log that are not online yet.",
           [(labels, p.lag_events) for labels, p in places])  # fmt: skip
    metric("eagleray_stream_lag_seconds", "gauge", "How long the oldest of them has waited.",
           [(labels, p.lag_s) for labels, p in places])  # fmt: skip
    metric("eagleray_stream_held_events", "gauge", "Events in the log that the offline table may not have yet.",
           [(labels, p.held_events) for labels, p in places])  # fmt: skip
    metric("eagleray_stream_owned", "gauge", "1 where a worker has the partition.",
           [(labels, int(p.owner is not None)) for labels, p in places])  # fmt: skip
    metric("eagleray_stream_events_total", "counter", "Events a worker has worked through since it began.",
           [(labels, w.events) for labels, w in workers])  # fmt: skip
    metric("eagleray_stream_failing", "gauge", "1 where the worker's last attempt ended in an error.",
           [(labels, int(w.error is not None)) for labels, w in workers])  # fmt: skip
    metric("eagleray_stream_dead_letters", "gauge", "Rows put aside.",
           [(_labels(set=one.name), one.dead_letters) for one in found])  # fmt: skip
    return "\n".join(lines) + "\n"


def _worker(owner: str, note: str) -> WorkerStatus:
    told = json.loads(note) if note else {}
    return WorkerStatus(
        owner=owner,
        host=str(told.get("host", "")),
        pid=int(told.get("pid", 0)),
        events=int(told.get("events", 0)),
        events_s=float(told.get("events_s", 0.0)),
        error=told.get("error"),
    )


def _labels(**labels: str) -> str:
    escaped = {
        key: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for key, value in labels.items()
    }
    return ",".join(f'{key}="{value}"' for key, value in escaped.items())
