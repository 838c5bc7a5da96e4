"""Back-pressure: a full log makes who pushes wait, and then refuses with the time to come again."""

from __future__ import annotations

import polars as pl
import pytest

from eagleray.featurestore.events.backlog import Bound, Gate, retry_after_s
from eagleray.featurestore.events.log import Held, MemoryLog
from eagleray.runtime.errors import LogFull


def rows(count: int) -> pl.DataFrame:
    return pl.DataFrame({"x": range(count)})


def test_a_full_partition_refuses_and_the_others_do_not() -> None:
    log = MemoryLog(2)
    gate = Gate(log, name="clicks.v1", bound=Bound(events=100))
    log.append({0: rows(100)})
    gate.pass_through([1], events=1, patience_s=0)
    with pytest.raises(LogFull, match=r"clicks\.v1: partition 0 of the log is full \(100 events\) and nobody works it"):
        gate.pass_through([0, 1], events=1, patience_s=0.01)
    log.trim({0: 99})
    gate.pass_through([0, 1], events=1, patience_s=0)


def test_a_push_waits_for_room_while_its_patience_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog(1)
    log.append({0: rows(60)})
    log.append({0: rows(60)})
    looks: list[int] = []
    held = log.held

    def looked() -> object:
        looks.append(0)
        if len(looks) == 3:
            log.trim({0: 59})  # a worker, meanwhile
        return held()

    monkeypatch.setattr(log, "held", looked)
    Gate(log, name="s", bound=Bound(events=100)).pass_through([0], events=1, patience_s=10)
    assert len(looks) == 3


def test_bytes_count_as_events_do() -> None:
    bound = Bound(events=1000, bytes=100)
    assert bound.fullness(Held(10, 200)) == 2.0
    assert bound.fullness(Held(500, 20)) == 0.5


def test_the_time_to_come_again_follows_the_pace() -> None:
    bound = Bound(events=1000)
    # 100 events in a second: from 1100 to 900 takes two more.
    assert retry_after_s(Held(1200, 0), Held(1100, 0), bound=bound, waited_s=1.0) == pytest.approx(2.0)
    assert retry_after_s(Held(1100, 0), Held(1100, 0), bound=bound, waited_s=1.0) is None
    assert retry_after_s(Held(10**9, 0), Held(10**9 - 1, 0), bound=bound, waited_s=1.0) == 60.0
