"""The cases of the window semantics that every implementation must pass, online and offline at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate, AggregateFunction
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet

from .bench import Bench

DAY = "2026-03-02"
ALL: tuple[AggregateFunction, ...] = ("count", "sum", "avg", "min", "max")
MORE: tuple[AggregateFunction, ...] = ("var", "stddev", "first", "last", "distinct", "last_2", "top_2", "p50")


def at(clock: str, day: str = DAY) -> int:
    """Microseconds of a time of that day."""
    moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000


def one_hour(
    window: str = "1h", granularity: str | None = "5m", functions: Sequence[AggregateFunction] = (*ALL, *MORE)
) -> Bench:
    """A set with the functions over one window, keyed by an integer."""
    aggregates = [
        Aggregate("x", functions, [window], granularity=granularity),
        Aggregate("*", ["count"], [window], granularity=granularity),
    ]
    return Bench(FeatureSet("s", [Entity("k", "int64")], "ts", {"x": "float64"}, aggregates))


def rows(*events: tuple[str, float | None]) -> list[dict[str, object]]:
    return [{"k": 1, "ts": at(clock), "x": x} for clock, x in events]


def ask(bench: Bench, clock: str, key: int = 1) -> dict[str, object]:
    answer = bench.both({"k": key, "at": at(clock)})
    return {name.removeprefix("s__x_").removesuffix("_1h").removesuffix("_15m"): v for name, v in answer.items()}


def test_the_head_is_open_and_the_tail_is_closed() -> None:
    bench = one_hour()
    bench.stream(rows(("09:00", 1.0)))
    assert ask(bench, "10:00")["sum"] == 1.0
    bench.stream(rows(("10:00", 2.0)))
    assert bench.offline([{"k": 1, "at": at("10:00")}])["s__x_sum_1h"].to_list() == [1.0]


def test_the_tail_is_rounded_down_to_a_tile() -> None:
    bench = one_hour()
    bench.stream(rows(("08:59:59", 1.0), ("09:02", 2.0)))
    assert ask(bench, "10:04")["sum"] == 2.0
    assert ask(bench, "10:05")["sum"] == 0.0


@pytest.mark.parametrize("key", [1, 99])
def test_an_empty_window_and_an_unknown_key_are_the_same(key: int) -> None:
    bench = one_hour()
    bench.stream(rows(("09:00", 1.0)))
    empty = dict.fromkeys((*ALL, *MORE)) | {"count": 0, "sum": 0.0, "distinct": 0, "s__count": 0}
    assert ask(bench, "12:00", key) == empty


def test_every_order_of_arrival_stores_the_same_bytes() -> None:
    # The order of arrival itself, in which ties are broken, is part of what first and last keep.
    functions = [*ALL, *(function for function in MORE if function not in ("first", "last", "last_2"))]
    stored = set()
    for order in itertools.permutations([("09:10", 4.0), ("09:20", 3.0), ("09:30", 5.0)]):
        bench = one_hour(functions=functions)
        bench.stream(rows(*order))
        stored.add(bench.stored({"k": 1}))
    assert len(stored) == 1


def test_a_replay_counts_once() -> None:
    bench, once = one_hour(), one_hour()
    events = rows(*[(f"09:{minute:02}", float(minute)) for minute in range(10)])
    for part in (events[:6], events[6:]):
        bench.append(part)
    worker = bench.worker()
    worker.drain()  # online holds all ten; the checkpoint and the offline table are then lost
    bench.stores.log._checkpoints = [-1] * bench.stores.log.partitions  # type: ignore[attr-defined]
    again = bench.worker()
    again.drain()
    again.save()
    once.stream(events)
    assert bench.stored({"k": 1}) == once.stored({"k": 1})
    assert ask(bench, "10:00") == ask(once, "10:00")


def test_late_events_count_while_a_window_can_see_them() -> None:
    bench = one_hour()
    bench.stream(rows(("10:00", 1.0)))
    bench.stream(rows(("09:20", 2.0)))  # 40 minutes late
    bench.stream(rows(("08:00", 4.0)))  # 2 hours late
    assert ask(bench, "10:01")["sum"] == 3.0


def test_nulls_and_nan_are_no_values_but_rows() -> None:
    bench = one_hour()
    bench.stream(rows(("09:01", 1.0), ("09:02", None), ("09:03", float("nan")), ("09:04", 3.0)))
    answer = ask(bench, "10:00")
    assert (answer["count"], answer["s__count"], answer["avg"]) == (2, 4, 2.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_tenth_ten_times_is_the_same_bits_in_any_order(seed: int) -> None:
    minutes = [(minute * 7 + seed * 3) % 10 for minute in range(10)]
    bench = one_hour()
    bench.stream(rows(*[(f"09:{minute:02}", 0.1) for minute in minutes]))
    assert ask(bench, "10:00")["sum"] == 10 * round(0.1 * 2**44) / 2**44


def test_the_maximum_of_a_sparse_window() -> None:
    bench = one_hour("15m", None)
    bench.stream(rows(("00:01", 10.0), ("00:06", 3.0), ("00:11", 7.0)))
    assert ask(bench, "00:20")["max"] == 7.0


def test_the_deviation_of_large_numbers_does_not_cancel() -> None:
    bench = one_hour()
    bench.stream(rows(("09:01", 1e6 + 1), ("09:02", 1e6 + 2), ("09:03", 1e6 + 3)))
    assert (ask(bench, "10:00")["stddev"], ask(bench, "10:00")["var"]) == (1.0, 1.0)
    assert ask(bench, "10:01:30")["stddev"] == 1.0  # the tail moves by whole tiles
    one = one_hour()
    one.stream(rows(("09:01", 5.0)))
    assert ask(one, "10:00")["stddev"] is None


def test_tiny_numbers_vary_too() -> None:
    bench = one_hour()
    bench.stream(rows(("09:01", 1e-9), ("09:02", 3e-9)))
    assert ask(bench, "10:00")["var"] == pytest.approx(2e-18, rel=1e-3)


def titles(*events: tuple[str, str | None]) -> Bench:
    functions = ["count", "first", "last", "distinct", "last_2"]
    bench = Bench(
        FeatureSet(
            "s", [Entity("k", "int64")], "ts", {"x": "string"}, [Aggregate("x", functions, ["1h"], granularity="5m")]
        )
    )
    bench.stream([{"k": 1, "ts": at(clock), "x": x} for clock, x in events])
    return bench


def test_of_two_events_at_one_time_the_later_offset_is_the_last() -> None:
    bench = titles(("09:10", "A"), ("09:10", "B"))
    assert (ask(bench, "10:00")["first"], ask(bench, "10:00")["last"]) == ("A", "B")


def test_the_newest_titles_and_how_many_there_are() -> None:
    answer = ask(titles(*[(f"09:1{place}", title) for place, title in enumerate("ABDAB")]), "10:00")
    assert (answer["last_2"], answer["distinct"], answer["count"]) == (["B", "A"], 3, 5)


def test_no_title_is_no_value() -> None:
    answer = ask(titles(("09:10", None)), "10:00")
    assert answer == {"count": 0, "first": None, "last": None, "distinct": 0, "last_2": None}


def test_the_largest_values_keep_their_multiplicity() -> None:
    bench = one_hour()
    bench.stream(rows(("09:01", 5.0), ("09:20", 5.0), ("09:40", 3.0)))
    assert ask(bench, "10:00")["top_2"] == [5.0, 5.0]
    assert ask(bench, "10:20:01")["top_2"] == [5.0, 3.0]
    assert ask(bench, "10:30")["top_2"] == [3.0]


def test_an_event_from_the_future_is_clamped_in_both_stores() -> None:
    bench = one_hour()
    bench.now_us = at("10:00")
    bench.stream(rows(("11:00", 5.0)))
    assert ask(bench, "10:01")["sum"] == 5.0
    assert ask(bench, "11:06")["sum"] == 0.0


def test_negative_zero_becomes_zero() -> None:
    bench = one_hour()
    bench.stream(rows(("09:00", -0.0)))
    answer = ask(bench, "10:00")
    assert [str(answer[name]) for name in ("sum", "avg", "min", "max")] == ["0.0"] * 4


def plain(ttl: str | None = None) -> Bench:
    """A set of latest values with a composite key."""
    entities = [Entity("b", "string"), Entity("a", "string")]
    return Bench(FeatureSet("p", entities, "ts", {"v": "int64", "name": "string"}, ttl=ttl))


def row(clock: str, v: int, *, a: str = "1", b: str = "23", name: str | None = "é|\\") -> dict[str, object]:
    return {"a": a, "b": b, "ts": at(clock), "v": v, "name": name}


def test_a_tie_in_time_goes_to_the_later_offset() -> None:
    bench = plain()
    bench.stream([row("09:00", 7), row("09:00", 8)])
    assert bench.both({"a": "1", "b": "23", "at": at("10:00")})["p__v"] == 8


def test_an_older_write_after_a_newer_one_is_ignored() -> None:
    bench = plain()
    bench.stream([row("09:30", 2)])
    bench.stream([row("09:00", 1)])
    assert bench.both({"a": "1", "b": "23", "at": at("10:00")})["p__v"] == 2


def test_a_label_before_the_first_row_keeps_its_row() -> None:
    bench = plain()
    bench.stream([row("09:00", 1)])
    asked = [{"a": "1", "b": "23", "at": at(clock)} for clock in ("08:00", "09:00", "09:01")]
    assert bench.offline(asked)["p__v"].to_list() == [None, None, 1]


def test_an_expired_value_is_null_in_both_stores() -> None:
    bench = plain(ttl="1h")
    bench.stream([row("09:00", 1)])
    asked: Sequence[str] = ("10:00", "10:00:01")
    answers = [bench.both({"a": "1", "b": "23", "at": at(clock)})["p__v"] for clock in asked]
    assert answers == [1, None]


def test_composite_keys_have_no_order_and_never_meet() -> None:
    bench = plain()
    bench.stream(
        [row("09:00", 1, a="1", b="23", name=None), row("09:00", 2, a="12", b="3"), row("09:00", 3, a="|", b="\\")]
    )
    asked = [{"b": b, "at": at("10:00"), "a": a} for a, b in (("1", "23"), ("12", "3"), ("|", "\\"), ("", "|\\"))]
    assert bench.online(asked)["p__v"].to_list() == [1, 2, 3, None]
    assert bench.offline(asked)["p__v"].to_list() == [1, 2, 3, None]
    assert bench.online(asked)["p__name"].to_list() == [None, "é|\\", "é|\\", None]


def test_an_integer_is_not_its_text() -> None:
    numbers = FeatureSet("n", [Entity("k", "int64")], "ts", {"v": "int64"})
    texts = FeatureSet("n", [Entity("k", "string")], "ts", {"v": "int64"})
    one, other = Bench(numbers), Bench(texts)
    assert one.applied.online_key("k=i1") != other.applied.online_key("k=s1")
    other.stores = one.stores
    one.stream([{"k": 1, "ts": at("09:00"), "v": 1}])
    assert other.online([{"k": "1", "at": at("10:00")}])["n__v"].to_list() == [None]
