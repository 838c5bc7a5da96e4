"""Adapter: the times a cron rule names, on the clock of a time zone.

As Debian's cron does it: a rule for certain hours runs once where the clock is set back, and right after the gap where
its time is skipped; a rule with a star for the minute or the hour follows the time that really passes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from .errors import DefinitionError, did_you_mean

_SECOND_US = 1_000_000
_MOST_SHIFT = timedelta(hours=3)
_SHAPE = "write minute, hour, day of month, month, day of week, for instance '0 9 * * MON-FRI'"
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ALLOWED = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, or L for the last one",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT",
}


def check(text: str) -> None:
    """Raises `DefinitionError` for what is no cron rule, or one whose time never comes."""
    try:
        next(_times(text, datetime(2000, 1, 1)))  # noqa: DTZ001 - a clock on a wall
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        what = f"its {field} is not {_ALLOWED[field]}" if field in _ALLOWED else str(error).lower()
        raise DefinitionError(f"cannot read the cron rule {text!r}: {what}; {_SHAPE}") from None
    except StopIteration:
        raise DefinitionError(f"the time of the cron rule {text!r} never comes: correct its day and month") from None


def after(text: str, zone: str, moment_us: int) -> int | None:
    """The rule's first time after a moment, both in microseconds since 1970; None where none comes in 50 years."""
    clock = ZoneInfo(zone)
    moment = datetime.fromtimestamp(moment_us // _SECOND_US, UTC)
    minute, hour, *_ = _five(text)
    certain = not minute.startswith("*") and not hour.startswith("*")
    uneven = not certain and _is_shifted(moment, clock)
    wall = moment.astimezone(clock).replace(tzinfo=None)
    best: datetime | None = None
    for found in _times(text, wall - _MOST_SHIFT if uneven else wall):
        later = [one for one in _instants(found, clock, certain=certain) if one > moment]
        best = min([*later, best] if best else later, default=None)
        if best is not None:
            beside = uneven or (not certain and _is_shifted(best, clock))
            # Where the clock is set back, a later wall time may come first.
            if not beside or found > best.astimezone(clock).replace(tzinfo=None) + _MOST_SHIFT:
                break
    return None if best is None else int(best.timestamp()) * _SECOND_US


def _instants(wall: datetime, clock: ZoneInfo, *, certain: bool) -> list[datetime]:
    """When a clock shows this: twice, or never, on the night it is set; `certain` always once."""
    first = wall.replace(tzinfo=clock).astimezone(UTC)
    if certain:
        while first.astimezone(clock).replace(tzinfo=None) != wall:
            wall += timedelta(minutes=1)
            first = wall.replace(tzinfo=clock).astimezone(UTC)
        return [first]
    second = wall.replace(tzinfo=clock, fold=1).astimezone(UTC)
    return [one for one in (first, second) if one.astimezone(clock).replace(tzinfo=None) == wall]


def _is_shifted(moment: datetime, clock: ZoneInfo) -> bool:
    """True within some hours of a night on which the clock is set."""
    around = (moment - _MOST_SHIFT, moment + _MOST_SHIFT)
    return len({one.astimezone(clock).utcoffset() for one in around}) > 1


def _times(text: str, begin: datetime) -> CronSim:
    return CronSim(" ".join(_five(text)), begin)


def _five(text: str) -> list[str]:
    words = text.split()
    if text.strip().startswith("@"):
        name = text.strip().lower()
        if name not in _NAMED:
            raise DefinitionError(f"no cron rule {text!r}{did_you_mean(name, _NAMED)}")
        words = _NAMED[name].split()
    if len(words) != 5:
        seconds = " (a rule with seconds is an interval: every='10s')" if len(words) == 6 else ""
        raise DefinitionError(f"the cron rule {text!r} has {len(words)} fields, not five{seconds}: {_SHAPE}")
    return words
