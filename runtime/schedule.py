"""When something is due, and what becomes of due times that nobody was there for: pure, time is passed in.

Every time is in microseconds since 1970 (UTC). A due time is decided once: its schedule's name and the time are its
identity.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from .errors import DefinitionError, did_you_mean
from .units import duration_us

CatchUp = Literal["none", "latest", "all"]
Overlap = Literal["skip", "allow", "queue"]
CATCH_UPS: tuple[str, ...] = get_args(CatchUp)
OVERLAPS: tuple[str, ...] = get_args(Overlap)
# Nobody calls a run late that starts within a minute: so long may a restart take before the catch-up rule is asked.
GRACE_US = 60_000_000
# Due times decided in one go, so that a long outage of a short interval does not become one endless step.
MOST_AT_ONCE = 100
_SHORTEST_US = 1_000_000
_FIRST_LOOK_US = 3_600_000_000
_LONGEST_LOOK_US = 60 * 366 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Timing:
    """A cron rule ("0 9 * * MON-FRI", "@daily") on the clock of a time zone, or an interval ("10m").

    An interval's due times are its whole multiples since 1970, so that every="1h" is due on the hour. `catch_up` says
    which due times that nothing ran, because the cluster was down, still run: none (unless not a minute late), the
    latest, or all of them one after another. `overlap` says what happens when the run before has not ended: skip this
    one, allow both, or queue. Raises `DefinitionError`.
    """

    cron: str = ""
    every: str = ""
    timezone: str = "UTC"
    catch_up: CatchUp = "latest"
    overlap: Overlap = "skip"

    def __post_init__(self) -> None:
        if bool(self.cron) == bool(self.every):
            raise DefinitionError("a schedule takes a cron rule or an interval, for instance '0 * * * *' or every='1h'")
        _check_word("catch_up", self.catch_up, CATCH_UPS)
        _check_word("overlap", self.overlap, OVERLAPS)
        _check_zone(self.timezone)
        if self.every and duration_us(self.every) < _SHORTEST_US:
            raise DefinitionError(f"every {self.every!r} is too often: the shortest interval is '1s'")
        if self.cron:
            from .cronsim_times import check

            check(self.cron)

    def after(self, moment_us: int) -> int | None:
        """The first due time after a moment; None where there is none any more."""
        if self.every:
            period_us = duration_us(self.every)
            return (moment_us // period_us + 1) * period_us
        from .cronsim_times import after

        return after(self.cron, self.timezone, moment_us)

    def latest(self, moment_us: int) -> int | None:
        """The last due time up to a moment, itself included; None where there was none."""
        if self.every:
            period_us = duration_us(self.every)
            return moment_us // period_us * period_us
        # Looked for forwards, in ever longer stretches, so that both directions name the same times.
        look_us = _FIRST_LOOK_US
        while (found := self.after(moment_us - look_us)) is None or found > moment_us:
            look_us *= 8
            if look_us > _LONGEST_LOOK_US:
                return None
        while (following := self.after(found)) is not None and following <= moment_us:
            found = following
        return found

    def as_dict(self) -> dict[str, str]:
        """Plain JSON, from which `Timing(**...)` makes it again."""
        return asdict(self)

    def __str__(self) -> str:
        when = self.cron or f"every {self.every}"
        return when if self.timezone == "UTC" or self.every else f"{when} {self.timezone}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the due times up to a moment: those to run, the first of those given up, the next one."""

    run: tuple[int, ...]
    missed_us: int | None
    next_us: int | None


def decide(timing: Timing, *, due_us: int, now_us: int, most: int = MOST_AT_ONCE) -> Decision:
    """Decides on `due_us`, the first due time that is not decided yet, and on all after it that are past.

    Only with catch_up="all" there may be more past ones (`next_us` is one) than `most`.
    """
    if timing.catch_up == "all":
        run = [due_us]
        following = timing.after(due_us)
        while len(run) < most and following is not None and following <= now_us:
            run.append(following)
            following = timing.after(following)
        return Decision(tuple(run), None, following)
    found = timing.latest(now_us)
    latest = due_us if found is None else max(found, due_us)
    if timing.catch_up == "latest" or now_us - latest <= GRACE_US:
        return Decision((latest,), due_us if due_us < latest else None, timing.after(latest))
    return Decision((), due_us, timing.after(latest))


def _check_word(what: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise DefinitionError(
            f"{what} {given!r} is unknown{did_you_mean(given, known)}; it is one of {', '.join(known)}"
        )


def _check_zone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        near = did_you_mean(name, known) if known else ": this machine knows none; install its tzdata"
        raise DefinitionError(f"no time zone {name!r}{near}; names are as in 'Europe/Berlin'") from None
