"""Adapter: schedules and their runs in the catalog; every step is one transaction, so that a due time is decided once.

What happens to a due time goes through conditional updates: of two supervisors, or of one and its successor, the
first changes the row and the other sees that it has not.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sql

from .errors import NotFoundError, did_you_mean
from .packed_job import PackedJob
from .schedule import Decision, Timing
from .schedule_entry import LIVE, LOST, MISSED, QUEUED, RUNNING, SKIPPED, STARTING, ScheduledRun, ScheduleEntry
from .sql_database import Database

_tables = sql.MetaData()
_schedules = sql.Table(
    "eagleray_schedules",
    _tables,
    sql.Column("place", sql.String(255), primary_key=True),
    sql.Column("name", sql.String(255), primary_key=True),
    sql.Column("function", sql.String(255), nullable=False),
    sql.Column("timing", sql.JSON, nullable=False),
    sql.Column("content", sql.String(64), nullable=False),
    sql.Column("next_us", sql.BigInteger),
    sql.Column("paused", sql.Boolean, nullable=False),
    sql.Column("version", sql.Integer, nullable=False),
    sql.Column("made_us", sql.BigInteger, nullable=False),
    sql.Column("job", sql.Text, nullable=False),
    sql.Column("packed", sql.LargeBinary, nullable=False),
    sql.Index("eagleray_schedules_next", "place", "next_us"),
)
_runs = sql.Table(
    "eagleray_schedule_runs",
    _tables,
    sql.Column("place", sql.String(255), primary_key=True),
    sql.Column("schedule", sql.String(255), primary_key=True),
    sql.Column("due_us", sql.BigInteger, primary_key=True),
    sql.Column("state", sql.String(16), nullable=False),
    sql.Column("version", sql.Integer, nullable=False),
    sql.Column("asked", sql.Boolean, nullable=False),
    sql.Column("job", sql.String(255), nullable=False),
    sql.Column("run", sql.String(64), nullable=False),
    sql.Column("started_us", sql.BigInteger),
    sql.Column("ended_us", sql.BigInteger),
    sql.Column("error", sql.Text, nullable=False),
    sql.Column("cluster", sql.String(64), nullable=False),
    sql.Column("begun_by", sql.String(64), nullable=False),
    sql.Index("eagleray_schedule_runs_state", "place", "state", "due_us"),
)
_ENTRY = [_schedules.c[name] for name in ScheduleEntry.__dataclass_fields__]
_RUN = [_runs.c[name] for name in ScheduledRun.__dataclass_fields__]
_MOST_ERROR = 2_000


class ScheduleBook:
    """The schedules of one place (see `schedule_place`); `close` gives its connections back."""

    def __init__(self, url: str, place: str) -> None:
        self._database = Database(url, _tables)
        self._place = place
        # Of two catalogs whose users share a cluster, neither may take the other's supervisor and jobs for its own.
        where = f"{sql.make_url(url).render_as_string()}\0{place}"  # without the password
        self.mark = hashlib.sha256(where.encode()).hexdigest()[:8]

    def put(self, entry: ScheduleEntry, job: PackedJob) -> ScheduleEntry:
        """Keeps a schedule. Equal content changes nothing; other content is a new version, paused if the old one was.

        While its times are the same, those that are not decided yet stay so.
        """
        try:
            self._put(entry, job)
        except sql.exc.IntegrityError:  # another process was quicker by a moment: now there is one to change
            self._put(entry, job)
        return self.entry(entry.name)

    def entry(self, name: str) -> ScheduleEntry:
        """One schedule; raises `NotFoundError`."""
        found = self._entries(_schedules.c.name == name)
        if not found:
            raise NotFoundError(f"no schedule {name!r}{did_you_mean(name, [one.name for one in self.entries()])}")
        return found[0]

    def entries(self) -> list[ScheduleEntry]:
        """All of them, by name."""
        return self._entries(sql.true())

    def job(self, name: str) -> PackedJob:
        """The call of a schedule, as it is now; raises `NotFoundError`."""
        chosen = sql.select(_schedules.c.job, _schedules.c.packed).where(self._one(name))
        with self._database.reading() as connection:
            row = connection.execute(chosen).first()
        if row is None:
            raise NotFoundError(f"no schedule {name!r}")
        return PackedJob(packed=row.packed, **json.loads(row.job))

    def set_paused(self, name: str, paused: bool, *, next_us: int | None) -> None:
        """Pauses or resumes; `next_us` is what is due next. Raises `NotFoundError`."""
        change = sql.update(_schedules).where(self._one(name), _schedules.c.paused != paused)
        with self._database.writing() as connection:
            connection.execute(change.values(paused=paused, next_us=next_us))
        self.entry(name)

    def delete(self, name: str, *, now_us: int) -> None:
        """Forgets a schedule; what waits is skipped, what runs goes on, what has run stays to be read."""
        self.entry(name)
        waiting = sql.update(_runs).where(_runs.c.place == self._place, _runs.c.schedule == name)
        with self._database.writing() as connection:
            connection.execute(sql.delete(_schedules).where(self._one(name)))
            connection.execute(
                waiting.where(_runs.c.state == QUEUED).values(
                    state=SKIPPED, ended_us=now_us, error="its schedule was deleted"
                )
            )

    def due(self, now_us: int) -> list[ScheduleEntry]:
        """Schedules with a due time up to now that is not decided."""
        return self._entries(_schedules.c.next_us <= now_us, _schedules.c.paused.is_(False))

    def next_us(self) -> int | None:
        """The earliest due time that is not decided; None where none comes."""
        here = (_schedules.c.place == self._place) & _schedules.c.paused.is_(False)
        with self._database.reading() as connection:
            found: int | None = connection.scalar(sql.select(sql.func.min(_schedules.c.next_us)).where(here))
        return found

    def decide(self, entry: ScheduleEntry, decision: Decision, *, skipped: bool, now_us: int) -> bool:
        """Writes what was decided on the due times of `entry`; False where another has, or the schedule has changed."""
        pending = sql.update(_schedules).where(
            self._one(entry.name),
            _schedules.c.version == entry.version,
            _schedules.c.next_us == entry.next_us,
            _schedules.c.paused.is_(False),
        )
        end = {"state": SKIPPED, "ended_us": now_us, "error": "the run before had not ended"} if skipped else {}
        rows = [self._row(entry, due_us, **end) for due_us in decision.run]
        if decision.missed_us is not None:
            error = "nothing ran it, nor the due times after it up to the next that is listed"
            rows.append(self._row(entry, decision.missed_us, state=MISSED, ended_us=now_us, error=error))
        with self._database.writing() as connection:
            if connection.execute(pending.values(next_us=decision.next_us)).rowcount != 1:
                return False
            here = (_runs.c.place == self._place) & (_runs.c.schedule == entry.name)
            times = [row["due_us"] for row in rows]
            # A schedule that was deleted and made again has decided some of them before.
            known = set(connection.scalars(sql.select(_runs.c.due_us).where(here, _runs.c.due_us.in_(times))))
            fresh = [row for row in rows if row["due_us"] not in known]
            if fresh:
                connection.execute(sql.insert(_runs), fresh)
        return True

    def ask(self, name: str, now_us: int) -> ScheduledRun:
        """Adds a run that is not due but wanted now."""
        entry = self.entry(name)
        with self._database.writing() as connection:
            connection.execute(sql.insert(_runs), [self._row(entry, now_us, asked=True)])
        return self.run(name, now_us)

    def run(self, name: str, due_us: int) -> ScheduledRun:
        """One run; raises `NotFoundError`."""
        found = self._found(_runs.c.schedule == name, _runs.c.due_us == due_us)
        if not found:
            raise NotFoundError(f"schedule {name!r} has no run that was due at {due_us}")
        return found[0]

    def live(self) -> list[ScheduledRun]:
        """The runs that have not ended, the one due first first."""
        return self._found(_runs.c.state.in_(LIVE))

    def history(self, name: str, *, limit: int) -> list[ScheduledRun]:
        """The runs of a schedule, the latest first."""
        chosen = sql.select(*_RUN).where(_runs.c.place == self._place, _runs.c.schedule == name)
        with self._database.reading() as connection:
            rows = connection.execute(chosen.order_by(_runs.c.due_us.desc()).limit(limit)).mappings()
            return [ScheduledRun(**row) for row in rows]

    def claim(self, run: ScheduledRun, *, job: str, cluster: str) -> bool:
        """Takes a waiting run to start it as `job` on that cluster; False where it does not wait any more."""
        return self._change(run, _runs.c.state == QUEUED, state=STARTING, job=job, cluster=cluster)

    def begin(self, run: ScheduledRun, *, token: str, cluster: str, now_us: int) -> bool:
        """Asked by the job itself before its first step; False where it must not run. Asking again changes nothing."""
        mine = (_runs.c.state == STARTING) & (_runs.c.cluster == cluster)
        again = (_runs.c.state == RUNNING) & (_runs.c.begun_by == token)
        begun = self._change(run, mine, state=RUNNING, started_us=now_us, begun_by=token)
        return begun or self._change(run, again, state=RUNNING)

    def end(self, run: ScheduledRun, ended: ScheduledRun, *, cluster: str) -> bool:
        """Writes how a run on that cluster has ended; False where that is known."""
        live = _runs.c.state.in_((STARTING, RUNNING)) & (_runs.c.cluster == cluster)
        error = ended.error[:_MOST_ERROR]
        values = {"state": ended.state, "ended_us": ended.ended_us, "error": error, "run": ended.run}
        return self._change(run, live, **values)

    def adopt(self, cluster: str, *, now_us: int) -> None:
        """Settles what another cluster, which has ended, left: what had not begun waits again, the rest is lost."""
        gone = sql.update(_runs).where(_runs.c.place == self._place, _runs.c.cluster != cluster)
        with self._database.writing() as connection:
            connection.execute(gone.where(_runs.c.state == STARTING).values(state=QUEUED))
            lost = {"state": LOST, "ended_us": now_us, "error": "the Ray that it ran on ended before it did"}
            connection.execute(gone.where(_runs.c.state == RUNNING).values(**lost))

    def prune(self, name: str, *, keep: int) -> None:
        """Forgets all but the latest runs of a schedule."""
        latest = self.history(name, limit=keep)
        if len(latest) == keep:
            old = (_runs.c.place == self._place) & (_runs.c.schedule == name) & (_runs.c.due_us < latest[-1].due_us)
            with self._database.writing() as connection:
                connection.execute(sql.delete(_runs).where(old, _runs.c.state.not_in(LIVE)))

    def close(self) -> None:
        """Gives the connections back."""
        self._database.close()

    def _put(self, entry: ScheduleEntry, job: PackedJob) -> None:
        timing = entry.timing.as_dict()
        values = {
            "function": entry.function, "timing": timing, "content": entry.content, "next_us": entry.next_us,
            "packed": job.packed,
            "job": json.dumps(
                {"name": job.name, "module": job.module, "needs": dict(job.needs), "custom": dict(job.custom)}
            ),
        }  # fmt: skip
        with self._database.writing() as connection:
            known = connection.execute(sql.select(*_ENTRY).where(self._one(entry.name))).first()
            if known is None:
                fresh = {"place": self._place, "name": entry.name, "paused": False, "version": 1}
                connection.execute(sql.insert(_schedules).values(**fresh, **values, made_us=entry.made_us))
            elif known.content != entry.content:
                if all(known.timing[word] == timing[word] for word in ("cron", "every", "timezone")):
                    del values["next_us"]
                same = sql.update(_schedules).where(self._one(entry.name))
                connection.execute(same.values(**values, version=known.version + 1, made_us=entry.made_us))

    def _row(self, entry: ScheduleEntry, due_us: int, **values: Any) -> dict[str, Any]:
        waiting: dict[str, Any] = {
            "place": self._place, "schedule": entry.name, "due_us": due_us, "state": QUEUED, "version": entry.version,
            "asked": False, "job": "", "run": "", "started_us": None, "ended_us": None, "error": "", "cluster": "",
            "begun_by": "",
        }  # fmt: skip
        return waiting | values

    def _change(self, run: ScheduledRun, only: sql.ColumnElement[bool], /, **values: Any) -> bool:
        here = (_runs.c.place == self._place) & (_runs.c.schedule == run.schedule) & (_runs.c.due_us == run.due_us)
        with self._database.writing() as connection:
            return connection.execute(sql.update(_runs).where(here, only).values(**values)).rowcount == 1

    def _one(self, name: str) -> sql.ColumnElement[bool]:
        return (_schedules.c.place == self._place) & (_schedules.c.name == name)

    def _entries(self, *only: sql.ColumnElement[bool]) -> list[ScheduleEntry]:
        chosen = sql.select(*_ENTRY).where(_schedules.c.place == self._place, *only).order_by(_schedules.c.name)
        with self._database.reading() as connection:
            rows = [dict(row) for row in connection.execute(chosen).mappings()]
        return [ScheduleEntry(**{**row, "timing": Timing(**row["timing"])}) for row in rows]

    def _found(self, *only: sql.ColumnElement[bool]) -> list[ScheduledRun]:
        chosen = sql.select(*_RUN).where(_runs.c.place == self._place, *only)
        with self._database.reading() as connection:
            rows = connection.execute(chosen.order_by(_runs.c.due_us, _runs.c.schedule)).mappings()
            return [ScheduledRun(**row) for row in rows]
