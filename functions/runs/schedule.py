"""A function's call that runs at its times: kept in the catalog, run by a supervisor on the Ray that stays."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ...runtime.bundle import content_hash
from ...runtime.errors import DefinitionError, NotFoundError, ServerUnavailable
from ...runtime.schedule import Timing
from ...runtime.schedule_entry import ScheduledRun, ScheduleEntry
from ...runtime.settings import Settings
from .job import Job

if TYPE_CHECKING:
    from ...runtime.sql_schedules import ScheduleBook
    from ..calls.spec import FunctionSpec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_START_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule by its name, which is all that another process needs: `Schedule(name)`.

    Every method but `run_now` works without Ray too; each raises `NotFoundError` where there is none of that name.
    """

    name: str
    settings: Settings = field(default_factory=Settings.from_env, repr=False)

    @classmethod
    def all(cls, settings: Settings | None = None) -> list[Schedule]:
        """Those of the Ray that the environment (or the settings) names, by name."""
        chosen = settings or Settings.from_env()
        from ...runtime.schedule_place import has_schedules

        if not has_schedules(chosen):
            return []
        book = _book(chosen)
        try:
            return [cls(entry.name, chosen) for entry in book.entries()]
        finally:
            book.close()

    @property
    def entry(self) -> ScheduleEntry:
        """What is kept of it: `timing`, `function`, `version`, `paused`, ..."""
        book = self._book()
        try:
            return book.entry(self.name)
        finally:
            book.close()

    @property
    def timing(self) -> Timing:
        """When it is due, and its rules."""
        return self.entry.timing

    @property
    def paused(self) -> bool:
        """True between `pause` and `resume`."""
        return self.entry.paused

    def next(self, count: int = 1) -> list[datetime]:
        """The next due times, on the clock of its time zone, whether it is paused or not."""
        timing = self.timing
        found: list[datetime] = []
        at_us = timing.after(_now_us())
        while at_us is not None and len(found) < count:
            found.append(datetime.fromtimestamp(at_us / 1e6, ZoneInfo(timing.timezone)))
            at_us = timing.after(at_us)
        return found

    def pause(self) -> None:
        """Starts nothing until `resume`; what runs goes on."""
        self._set_paused(True)

    def resume(self) -> None:
        """Goes on with the next due time; those in the pause are not caught up."""
        self._set_paused(False)
        self._call()

    def delete(self) -> None:
        """Ends it; what runs goes on, and its history stays to be read."""
        book = self._book()
        try:
            book.delete(self.name, now_us=_now_us())
        finally:
            book.close()

    def history(self, limit: int = 20) -> list[ScheduledRun]:
        """What became of its due times, the latest first; of the oldest beyond a thousand nothing is kept."""
        book = self._book()
        try:
            return book.history(self.name, limit=limit)
        finally:
            book.close()

    def run_now(self) -> Job[Any]:
        """Starts its call now, paused or not, beside what runs; the same job that it starts at its times."""
        from ...runtime.ray_supervisor import ensure

        ensure(self.settings)
        book = self._book()
        try:
            run = book.ask(self.name, _now_us())
            ensure(self.settings)
            deadline = time.monotonic() + _START_S
            while time.monotonic() < deadline:
                run = book.run(self.name, run.due_us)
                if run.error:
                    raise ServerUnavailable(f"{self.name}: {run.error}")
                job: Job[Any] = Job(run.job, self.settings)
                if run.job and _is_there(job):
                    return job
                time.sleep(_POLL_S)
        finally:
            book.close()
        raise ServerUnavailable(f"the supervisor has not started {self.name} in {_START_S:g} s: see Ray's dashboard")

    def _set_paused(self, paused: bool) -> None:
        next_us = self.timing.after(_now_us())
        book = self._book()
        try:
            book.set_paused(self.name, paused, next_us=next_us)
        finally:
            book.close()

    def _call(self) -> None:
        """Tells the supervisor; where no Ray is up, the one that starts will know."""
        from ...runtime import lasting

        if lasting.is_there(self.settings):
            from ...runtime.ray_supervisor import ensure

            ensure(self.settings)

    def _book(self) -> ScheduleBook:
        return _book(self.settings)


@dataclass(frozen=True, slots=True)
class Planned:
    """A call, when it is due, and what that is called."""

    timing: Timing
    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, fn: Callable[..., Any], name: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> Planned:
        """From what `fn.schedule` was called with: `given` are its own keywords, unless a timing stands first."""
        if args and isinstance(args[0], Timing):
            return cls(args[0], name, args[1:], given)
        clash = sorted(set(given) & set(inspect.signature(fn).parameters))
        if clash:
            raise DefinitionError(
                f"{name} has an argument {clash[0]!r} of its own: give a timing first, "
                f"{name}.schedule(Timing('@daily'), {clash[0]}=...)"
            )
        words = dict(given)
        chosen = words.pop("name", name)
        if "every" in words:
            return cls(Timing(**words), chosen, args)
        if not args or not isinstance(args[0], str):
            raise DefinitionError(f"{name}.schedule takes a cron rule first ('0 * * * *'), or every='1h'")
        return cls(Timing(args[0], **words), chosen, args[1:])


def schedule(fn: Callable[..., Any], options: FunctionSpec, plan: Planned) -> Schedule:
    """Keeps the call and makes sure that a supervisor runs; see `Function.schedule`."""
    from ...runtime.ray_jobs import check_outlives, pack
    from ...runtime.ray_supervisor import ensure
    from ...runtime.schedule_place import at_home
    from .tracked import described

    if not _NAME.fullmatch(plan.name):
        raise DefinitionError(f"{plan.name!r} cannot name a schedule: letters, digits, '.', '_' and '-' can (name=...)")
    described(fn, plan.args, plan.kwargs)  # a wrong argument is told here, not in a job
    settings = at_home(Settings.from_env())
    check_outlives(settings, "schedule")
    job = pack("eagleray.functions.job_main", (fn, plan.args, dict(plan.kwargs)), options)
    now_us = _now_us()
    entry = ScheduleEntry(
        name=plan.name,
        function=options.name,
        timing=plan.timing,
        content=_content(fn, options, plan),
        next_us=plan.timing.after(now_us),
        made_us=now_us,
    )
    book = _book(settings)
    try:
        book.put(entry, job)
    finally:
        book.close()
    ensure(settings)
    return Schedule(plan.name, settings)


def _content(fn: Callable[..., Any], options: FunctionSpec, plan: Planned) -> str:
    import cloudpickle

    parts = (json.dumps(plan.timing.as_dict()), content_hash(fn), repr(options))
    whole = hashlib.sha256("\0".join(parts).encode())
    whole.update(cloudpickle.dumps((plan.args, dict(plan.kwargs))))
    return whole.hexdigest()


def _book(settings: Settings) -> ScheduleBook:
    from ...runtime.schedule_place import book_of

    return book_of(settings)


def _is_there(job: Job[Any]) -> bool:
    try:
        return bool(job.status)
    except NotFoundError:
        return False


def _now_us() -> int:
    return time.time_ns() // 1_000
