"""Due times against an oracle that steps minute by minute, and what becomes of missed ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.schedule import GRACE_US, Timing, decide

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def us(text: str) -> int:
    """Of an ISO time; without an offset it is UTC's."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * SECOND_US


@cache
def values(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        end = int(last) if last else high if step else int(first)
        found |= set(range(int(first), end + 1, int(step or 1)))
    return found


def matches(rule: str, wall: datetime) -> bool:
    """Whether the rule names this minute on a clock."""
    fields = rule.split()
    minutes, hours, days, months, weekdays = (values(f, *r) for f, r in zip(fields, RANGES, strict=True))
    day, weekday = wall.day in days, bool({wall.isoweekday() % 7, wall.isoweekday()} & weekdays)
    both = fields[2].startswith("*") or fields[4].startswith("*")
    on_day = day and weekday if both else day or weekday
    return wall.minute in minutes and wall.hour in hours and wall.month in months and on_day


def oracle(rule: str, zone: str, begin_us: int, end_us: int) -> list[int]:
    """Every due time in (begin, end], found by looking at every minute of the wall clock."""
    found, clock = [], ZoneInfo(zone)
    certain_hours = not rule.split()[0].startswith("*") and not rule.split()[1].startswith("*")
    before = datetime.fromtimestamp(begin_us / SECOND_US, clock).replace(tzinfo=None)
    for at_us in range(begin_us + MINUTE_US, end_us + 1, MINUTE_US):
        wall = datetime.fromtimestamp(at_us / SECOND_US, clock)
        now = wall.replace(tzinfo=None, fold=0)
        skipped = [before + timedelta(minutes=n) for n in range(1, int((now - before) / timedelta(minutes=1)))]
        late = certain_hours and any(matches(rule, one) for one in skipped)
        again = certain_hours and wall.fold == 1
        if late or (matches(rule, now) and not again):
            found.append(at_us)
        before = now
    return found


def due_times(timing: Timing, begin_us: int, end_us: int) -> list[int]:
    found, at_us = [], timing.after(begin_us)
    while at_us is not None and at_us <= end_us:
        found.append(at_us)
        at_us = timing.after(at_us)
    return found


@pytest.mark.parametrize(
    ("zone", "begin", "end"),
    [
        ("Europe/Berlin", "2026-03-28T12:00", "2026-03-30T12:00"),
        ("Europe/Berlin", "2026-10-24T12:00", "2026-10-26T12:00"),
        ("Australia/Lord_Howe", "2026-04-04T02:00", "2026-04-05T22:00"),  # half an hour back
        ("Australia/Lord_Howe", "2026-10-03T02:00", "2026-10-04T22:00"),
        ("Africa/Cairo", "2026-04-23T12:00", "2026-04-25T00:00"),  # midnight is skipped
        ("UTC", "2028-02-28T00:00", "2028-03-01T12:00"),
    ],
)
@pytest.mark.parametrize(
    "rule",
    [
        *("30 2 * * *", "0 0 * * *", "15,45 1-3 * * *", "0 2,3 * * *", "*/20 2 * * *", "30 * * * *"),
        *("0 */2 * * *", "10 1-4/2 29 2 *", "0 5 1 * 0", "5 2 */2 * 1-5"),
    ],
)
def test_cron_names_the_times_of_a_stepped_clock(rule: str, zone: str, begin: str, end: str) -> None:
    timing = Timing(rule, timezone=zone)
    assert due_times(timing, us(begin), us(end)) == oracle(rule, zone, us(begin), us(end))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(st.one_of(st.just("*"), span), st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    many = st.lists(number, min_size=1, max_size=3).map(lambda found: ",".join(map(str, found)))
    return st.one_of(st.just("*"), many, span, step)


RULES = st.tuples(*(field(low, high) for low, high in RANGES)).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(
    rule=RULES,
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    begin_min=st.integers(us("2026-01-01T00:00") // MINUTE_US, us("2027-01-01T00:00") // MINUTE_US),
    look_min=st.integers(1, 2000),
)
def test_any_rule_names_the_times_of_a_stepped_clock(rule: str, zone: str, begin_min: int, look_min: int) -> None:
    try:
        timing = Timing(rule, timezone=zone)
    except DefinitionError:
        return  # 30 February
    begin_us, end_us = begin_min * MINUTE_US, (begin_min + look_min) * MINUTE_US
    expected = oracle(rule, zone, begin_us, end_us)
    assert due_times(timing, begin_us, end_us) == expected
    if expected:
        assert timing.latest(end_us) == expected[-1]
        assert timing.latest(expected[-1]) == expected[-1]


def test_the_latest_time_may_lie_far_back() -> None:
    leap = Timing("0 0 29 2 *")
    assert leap.latest(us("2027-06-01T00:00")) == us("2024-02-29T00:00")
    assert leap.after(us("2024-02-29T00:00")) == us("2028-02-29T00:00")


def test_an_interval_is_due_at_its_multiples() -> None:
    timing = Timing(every="10m")
    assert timing.after(us("2026-05-01T10:00")) == us("2026-05-01T10:10")
    assert timing.after(us("2026-05-01T10:09:59")) == us("2026-05-01T10:10")
    assert timing.latest(us("2026-05-01T10:09:59")) == us("2026-05-01T10:00")
    assert str(timing) == "every 10m"
    assert Timing(**timing.as_dict()) == timing  # type: ignore[arg-type] # as it comes back from JSON


@pytest.mark.parametrize(
    ("catch_up", "now", "run", "missed", "following"),
    [
        ("none", "10:00:00", ["10:00"], None, "11:00"),
        ("none", "10:01:00", ["10:00"], None, "11:00"),
        ("none", "10:01:01", [], "10:00", "11:00"),
        ("none", "13:00:59", ["13:00"], "10:00", "14:00"),
        ("none", "13:30:00", [], "10:00", "14:00"),
        ("latest", "10:59:00", ["10:00"], None, "11:00"),
        ("latest", "13:30:00", ["13:00"], "10:00", "14:00"),
        ("all", "10:00:00", ["10:00"], None, "11:00"),
        ("all", "13:30:00", ["10:00", "11:00", "12:00", "13:00"], None, "14:00"),
    ],
)
def test_what_becomes_of_missed_times(
    catch_up: str, now: str, run: list[str], missed: str | None, following: str
) -> None:
    def at(time: str) -> int:
        return us(f"2026-05-01T{time}")

    for timing in (Timing("@hourly", catch_up=catch_up), Timing(every="1h", catch_up=catch_up)):  # type: ignore[arg-type]
        found = decide(timing, due_us=at("10:00"), now_us=at(now))
        assert found.run == tuple(map(at, run))
        assert found.missed_us == (at(missed) if missed else None)
        assert found.next_us == at(following)


def test_a_long_outage_is_caught_up_in_pieces() -> None:
    timing = Timing(every="1s", catch_up="all")
    begin_us, now_us = us("2026-05-01T00:00"), us("2026-05-01T01:00")
    seen: list[int] = []
    due_us: int | None = begin_us
    while due_us is not None and due_us <= now_us:
        found = decide(timing, due_us=due_us, now_us=now_us)
        assert len(found.run) <= 100
        seen += found.run
        due_us = found.next_us
    assert seen == list(range(begin_us, now_us + 1, SECOND_US))
    late = decide(Timing(every="1s", catch_up="none"), due_us=begin_us, now_us=now_us + GRACE_US)
    assert late.run == (now_us + GRACE_US,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "takes a cron rule or an interval"),
        ({"cron": "@daily", "every": "1h"}, "takes a cron rule or an interval"),
        ({"cron": "0 25 * * *"}, "its hour is not 0-23; write minute, hour,"),
        ({"cron": "0 * * *"}, "has 4 fields, not five: write minute"),
        ({"cron": "0 0 0 * * *"}, "has 6 fields, not five (a rule with seconds is an interval: every='10s')"),
        ({"cron": "0 0 30 2 *"}, "day-of-month"),
        ({"cron": "0 0 31 4 1#5"}, None),
        ({"cron": "@dayly"}, "did you mean '@daily'"),
        ({"every": "0s"}, "cannot read the duration"),
        ({"every": "500ms"}, "the shortest interval is '1s'"),
        ({"every": "1h", "timezone": "Europe/Berlim"}, "did you mean 'Europe/Berlin'"),
        ({"every": "1h", "timezone": "/etc/passwd"}, "no time zone"),
        ({"every": "1h", "timezone": "Europe"}, "no time zone"),
        ({"every": "1h", "catch_up": "some"}, "catch_up 'some' is unknown"),
        ({"every": "1h", "overlap": "skipp"}, "did you mean 'skip'"),
    ],
)
def test_what_is_wrong_is_told_with_a_cure(options: dict[str, str], message: str | None) -> None:
    if message is None:
        Timing(**options)  # type: ignore[arg-type]
        return
    with pytest.raises(DefinitionError, match=message.replace("(", r"\(").replace(")", r"\)")):
        Timing(**options)  # type: ignore[arg-type]
