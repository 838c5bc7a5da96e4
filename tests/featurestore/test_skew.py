"""The promise: for random logs with disorder, ties, replays and crashes, online == offline == oracle, as bytes."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from eagleray.featurestore.definitions.aggregates import Aggregate, AggregateFunction
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.events.redis_log import RedisLog
from eagleray.featurestore.offline.delta_offline import DeltaOfflineStore
from eagleray.featurestore.online.redis_online import RedisOnlineStore
from eagleray.featurestore.streams.worker import Stores
from eagleray.runtime import redis_client
from eagleray.runtime.settings import Settings

from .bench import Bench, memory_stores, same_bits
from .oracle import LoggedEvent, Scalar, answer

FUNCTIONS: tuple[AggregateFunction, ...] = (
    "count", "sum", "avg", "min", "max", "var", "stddev", "first", "last", "distinct", "last_3", "top_2", "p50",
    "p99.9",
)  # fmt: skip
OF_ANY: tuple[AggregateFunction, ...] = ("count", "first", "last", "distinct", "last_3")
# The oracle sums in fractions of 2**-44; whole numbers are exact in them, and their sums are whole numbers.
OF_WHOLE: tuple[AggregateFunction, ...] = (*OF_ANY, "min", "max", "var", "stddev", "top_2", "p50")
WINDOWS = ("30s", "10m", "1h")
MINUTE_US = 60_000_000
BEGIN_US = 1_772_409_600_000_000

numbers = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.sampled_from([0.0, -0.0, 0.1, 1e-20, 1e12, -1e12]),
    st.floats(-1e6, 1e6, allow_nan=False),
)
whole = st.one_of(st.none(), st.sampled_from([0, 1, -1, 2**40, -(2**40)]), st.integers(-1000, 1000))
texts = st.one_of(st.none(), st.sampled_from(["", "A", "B", "ab", "\0", "é|\\", "日本"]), st.text(max_size=5))
Batch = list[tuple[int, int, Scalar]]


def events_of(values: st.SearchStrategy[Scalar]) -> st.SearchStrategy[Batch]:
    """Few keys and moments near tile edges: ties, late events and edge hits are common."""
    moments = st.integers(-90 * 60, 90 * 60).map(lambda s: s * 1_000_000)
    return st.lists(st.tuples(st.integers(0, 2), moments, values), max_size=40)


def declared(name: str, dtype: str = "float64") -> FeatureSet:
    functions = FUNCTIONS if dtype == "float64" else OF_ANY if dtype == "string" else OF_WHOLE
    aggregates = [Aggregate("x", functions, WINDOWS), Aggregate("*", ["count"], ["1h"], granularity="10m")]
    return FeatureSet(name, [Entity("k", "int64")], "ts", {"x": dtype}, aggregates, features=["x"])


@dataclass
class Streamed:
    """A bench fed in steps, and the log that a by-stander kept."""

    bench: Bench
    log: list[LoggedEvent]

    def feed(self, batch: Batch, *, crash: str) -> None:
        rows = [{"k": k, "ts": BEGIN_US + dt, "x": x} for k, dt, x in batch]
        for k, dt, x in batch:
            self.log.append(LoggedEvent(k, BEGIN_US + dt, len(self.log), x))
        if crash == "backfill":
            self.bench.backfill(rows)
            return
        self.bench.append(rows)
        worker = self.bench.worker()
        worker.drain()
        if crash == "none":
            worker.save()
        # otherwise the worker dies here: online has the events, the offline table does not

    def check(self, questions: list[tuple[int, int]]) -> None:
        self.bench.stream([])  # the next worker mends what the last one left
        newest = {k: max(e.ts_us for e in self.log if e.key == k) for k in {e.key for e in self.log}}
        asked = [{"k": k, "at": max(BEGIN_US + dt, newest.get(k, -(2**62)) + 1)} for k, dt in questions]
        online, offline = self.bench.online(asked), self.bench.offline(asked)
        assert same_bits(online, offline)
        for place, question in enumerate(asked):
            for feature in self.bench.applied.layout.windowed:
                function = "rows" if feature.column == "*" else feature.function
                expected = answer(self.log, question["k"], question["at"], feature.window, function)
                column = f"{self.bench.feature_set.name}__{feature.name}"
                got = online[column][place]
                assert bits(got) == bits(expected), (column, question, got, expected)


def bits(value: object) -> str:
    if isinstance(value, list | pl.Series):
        return str([bits(one) for one in value])
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    return str(value)


def steps_of(values: st.SearchStrategy[Scalar]) -> st.SearchStrategy[list[tuple[Batch, str]]]:
    """Batches, and how the worker of each ends."""
    return st.lists(
        st.tuples(events_of(values), st.sampled_from(["none", "crash", "backfill"])), min_size=1, max_size=4
    )


questions = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4 * 3600).map(lambda s: s * 1_000_000)), min_size=1, max_size=8
)


@pytest.mark.parametrize(("dtype", "values"), [("float64", numbers), ("int64", whole), ("string", texts)])
@hypothesis_settings(max_examples=40, deadline=None)
@given(data=st.data(), questions=questions)
def test_in_memory(
    dtype: str, values: st.SearchStrategy[Scalar], data: st.DataObject, questions: list[tuple[int, int]]
) -> None:
    streamed = Streamed(Bench(declared("s", dtype), memory_stores()), [])
    for batch, crash in data.draw(steps_of(values)):
        streamed.feed(batch, crash=crash)
    streamed.check(questions)


@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps_of(numbers), questions=questions)
def test_on_real_servers(
    server: Settings,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[Batch, str]],
    questions: list[tuple[int, int]],
) -> None:
    name = f"s{uuid.uuid4().hex}"
    with redis_client.connect(server) as client:
        stores = Stores(
            online=RedisOnlineStore(client, server),
            offline=DeltaOfflineStore(str(tmp_path_factory.mktemp("offline"))),
            log=RedisLog(client, server, name=name, partitions=2),
        )
        streamed = Streamed(Bench(declared(name), stores), [])
        for batch, crash in steps:
            streamed.feed(batch, crash=crash)
        streamed.check(questions)


def test_thousands_of_reads() -> None:
    rng = np.random.default_rng(7)
    bench = Bench(declared("s"), memory_stores(4))
    n = 4000
    frame = pl.DataFrame(
        {
            "k": rng.integers(0, 50, n),
            "ts": BEGIN_US + np.sort(rng.integers(0, 300 * MINUTE_US, n)) - rng.integers(0, 3 * MINUTE_US, n),
            "x": np.where(rng.random(n) < 0.1, np.nan, np.round(rng.lognormal(3, 1, n), 2)),
        }
    ).with_columns(pl.col("x").fill_nan(None))
    mismatches, reads = 0, 0
    for begin in range(0, n, 100):
        bench.stream(frame[begin : begin + 100].to_dicts())
        newest = dict(frame[: begin + 100].group_by("k").agg(pl.col("ts").max()).iter_rows())
        asked = [{"k": k, "at": newest.get(k, BEGIN_US) + int(rng.integers(1, 90 * MINUTE_US))} for k in range(50)]
        online, offline = bench.online(asked), bench.offline(asked)
        reads += online.height * online.width
        mismatches += not same_bits(online, offline)
    assert (mismatches, reads) == (0, 40 * 50 * 44)
