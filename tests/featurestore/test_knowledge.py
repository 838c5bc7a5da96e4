"""Training sets as of knowledge: every aggregate over the events that had been applied, and what serving said."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.wanted import resolve
from eagleray.featurestore.offline.label_join import build
from eagleray.featurestore.offline.offline import APPLIED, OFFSET, PARTITION
from eagleray.featurestore.offline.sight import Sight
from eagleray.featurestore.state.event_order import event_order
from eagleray.runtime.errors import InputError

from .bench import Bench, memory_stores, same_bits
from .oracle import LoggedEvent, Scalar, answer
from .test_skew import BEGIN_US, bits, declared, numbers, texts

SECOND_US = 1_000_000


@dataclass(frozen=True)
class Applied:
    """An event, and when it took effect."""

    event: LoggedEvent
    applied_us: int


marks = st.lists(st.integers(0, 9), max_size=40)


@given(marks, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10)), max_size=8))
def test_what_a_range_sees(marks: list[int], asked: list[tuple[int, int, int]]) -> None:
    ranges = [(min(a, b, len(marks)), min(max(a, b), len(marks)), below) for a, b, below in asked]
    starts, ends, below = (np.array([r[place] for r in ranges], dtype=np.int64) for place in range(3))
    sight = Sight(np.array(marks, dtype=np.int64), below)
    runs = sight.runs(starts, ends)
    seen: list[set[int]] = [set() for _ in ranges]
    for question, start, end in zip(runs.questions.tolist(), runs.starts.tolist(), runs.ends.tolist(), strict=True):
        assert start < end
        assert not seen[question] & {start - 1, *range(start, end)}, "runs touch or overlap"
        seen[question] |= set(range(start, end))
    expected = [{place for place in range(start, end) if marks[place] < below} for start, end, below in ranges]
    assert seen == expected
    assert sight.newest(starts, ends).tolist() == [max(places, default=-1) for places in expected]


# Late by nothing, a little, or longer than a window; a worker's clock may stand behind the pusher's.
delays = st.sampled_from([0, 1, SECOND_US, 40 * SECOND_US, 20 * 60 * SECOND_US, 2 * 3600 * SECOND_US, -SECOND_US])


def logs(values: st.SearchStrategy[Scalar]) -> st.SearchStrategy[list[tuple[int, int, int, Scalar]]]:
    moments = st.integers(-90 * 60, 90 * 60).map(lambda s: s * SECOND_US)
    return st.lists(st.tuples(st.integers(0, 2), moments, delays, values), max_size=40)


questions = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-3600, 2 * 3600).map(lambda s: s * SECOND_US)), min_size=1, max_size=8
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(logs(numbers), questions)
def test_numbers(log: list[tuple[int, int, int, Scalar]], asked: list[tuple[int, int]]) -> None:
    check("float64", log, asked)


@hypothesis_settings(max_examples=30, deadline=None)
@given(logs(texts), questions)
def test_texts(log: list[tuple[int, int, int, Scalar]], asked: list[tuple[int, int]]) -> None:
    check("string", log, asked)


def check(dtype: str, rows: list[tuple[int, int, int, Scalar]], asked: list[tuple[int, int]]) -> None:
    log = [
        Applied(LoggedEvent(key, BEGIN_US + at, offset, value), BEGIN_US + at + delay)
        for offset, (key, at, delay, value) in enumerate(rows)
    ]
    bench = Bench(declared("s", dtype), memory_stores())
    if log:
        bench.stores.offline.append(bench.applied.full_name, stored(log, dtype), last_offsets={0: len(log)})
    got = knowledge(bench, [{"k": key, "at": BEGIN_US + at} for key, at in asked])
    for place, (key, at) in enumerate(asked):
        q_us = BEGIN_US + at
        known = [one.event for one in log if one.applied_us < q_us]
        # Serving never answers for a moment before what it has seen.
        moment = max([q_us, *(event.ts_us + 1 for event in known if event.key == key)])
        for feature in bench.applied.layout.windowed:
            function = "rows" if feature.column == "*" else feature.function
            expected = answer(known, key, moment, feature.window, function)
            assert bits(got[f"s__{feature.name}"][place]) == bits(expected), (feature.name, key, at)
        latest = max((e for e in known if e.key == key), key=lambda e: (e.ts_us, e.offset), default=None)
        assert bits(got["s__x"][place]) == bits(None if latest is None else latest.value)


def test_what_serving_answered_is_what_knowledge_gives_later() -> None:
    """Answers noted while late events still come in are rebuilt to the bit afterwards."""
    rng = np.random.default_rng(3)
    bench, now_us = Bench(declared("s"), memory_stores(4)), time.time_ns() // 1000
    asked: list[dict[str, int]] = []
    answers: list[pl.DataFrame] = []
    for _ in range(12):
        moments = now_us - rng.integers(0, 5400 * SECOND_US, 60)
        values = zip(rng.integers(0, 8, 60).tolist(), moments.tolist(), rng.normal(size=60).tolist(), strict=True)
        bench.stream([{"k": key, "ts": at, "x": value} for key, at, value in values])
        q_us = time.time_ns() // 1000 + 1
        asked += [{"k": key, "at": q_us} for key in range(9)]
        answers.append(bench.online(asked[-9:]))
    assert same_bits(pl.concat(answers), knowledge(bench, asked))
    assert not same_bits(pl.concat(answers), bench.offline(asked)), "no event was late: the test shows nothing"


def test_latest_values_alone_are_read_another_way_and_are_the_same() -> None:
    rng = np.random.default_rng(5)
    log = [
        Applied(LoggedEvent(int(key), BEGIN_US + int(at), offset, float(at)), BEGIN_US + int(at + delay))
        for offset, (key, at, delay) in enumerate(rng.integers(0, (20, 50, 30), (400, 3)))
    ]
    bench = Bench(declared("s"), memory_stores())
    bench.stores.offline.append(bench.applied.full_name, stored(log, "float64"), last_offsets={0: len(log)})
    asked = [{"k": int(key), "at": BEGIN_US + int(at)} for key, at in rng.integers(0, (25, 60), (200, 2))]
    for as_of in ("event", "knowledge"):
        everything = knowledge(bench, asked, as_of=as_of)
        bench.vector = FeatureVector("v", ["s:x"], event_time="at")
        assert same_bits(knowledge(bench, asked, as_of=as_of), everything.select("s__x"))
        bench.vector = FeatureVector("v", ["s:*"], event_time="at")


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-(2**62), -1, 0, 1, 2**62]), st.integers(0, 5))))
def test_the_order_of_events(rows: list[tuple[int, int, int]]) -> None:
    codes, ts_us, offsets = (np.array([row[place] for row in rows], dtype=np.int64) for place in range(3))
    assert [rows[place] for place in event_order(codes, ts_us, offsets)] == sorted(rows)
    near = ts_us // 2**40
    packed = [(c, t, o) for c, t, o in zip(codes.tolist(), near.tolist(), offsets.tolist(), strict=True)]
    assert [packed[place] for place in event_order(codes, near, offsets)] == sorted(packed)


def test_an_unknown_clock_is_named() -> None:
    bench = Bench(declared("s"))
    with pytest.raises(InputError, match="as_of='knowledg'; did you mean 'knowledge'"):
        knowledge(bench, [{"k": 1, "at": 1}], as_of="knowledg")


def knowledge(bench: Bench, asked: list[dict[str, int]], *, as_of: str = "knowledge") -> pl.DataFrame:
    wanted = resolve(bench.vector, lambda _: bench.applied)
    labels = pl.DataFrame(asked).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    made = build(bench.vector, labels, wanted=wanted, offline=bench.stores.offline, as_of=as_of)  # type: ignore[arg-type]
    assert made.frame.height == len(asked), "a label row was lost"
    return made.frame.select(made.feature_names)


def stored(log: list[Applied], dtype: str) -> pl.DataFrame:
    """The log as an offline table holds it, in any order."""

    def moment(values: list[int]) -> pl.Series:
        return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))

    values = [one.event.value for one in log]
    frame = pl.DataFrame(
        {
            "k": [one.event.key for one in log],
            "ts": moment([one.event.ts_us for one in log]),
            "x": pl.Series(values, dtype=pl.String if dtype == "string" else pl.Float64, strict=False),
            PARTITION: pl.Series([0] * len(log), dtype=pl.Int32),
            OFFSET: pl.Series([one.event.offset for one in log], dtype=pl.Int64),
            APPLIED: moment([one.applied_us for one in log]),
        }
    )
    return frame.sample(fraction=1.0, shuffle=True, seed=1)
