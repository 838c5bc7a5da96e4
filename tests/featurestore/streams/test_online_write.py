"""Writing online: the quick way of sets without windows gives the bytes of the general one, and dead keys go."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.events.leases import lease_name
from eagleray.featurestore.offline.offline import OFFSET, PARTITION
from eagleray.featurestore.online.online import MemoryOnlineStore
from eagleray.featurestore.state import plain_step
from eagleray.featurestore.state.engine import Events, advance
from eagleray.featurestore.state.plain_step import PlainStep
from eagleray.featurestore.state.states import decode, encode
from eagleray.featurestore.streams import online_write
from eagleray.featurestore.streams.online_write import DAY_US, FEW, OnlineWriter, expiries_ms, reach_us

from ..bench import applied

SCHEMA = {"x": "float64", "n": "int32", "text": "string", "tags": "list[string]", "v": "vector[2]", "at": "timestamp"}
event = st.tuples(
    st.integers(0, 4),  # key
    st.integers(-3, 3),  # ts
    st.none() | st.floats(allow_nan=False),
    st.none() | st.integers(-9, 9),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.none() | st.lists(st.none() | st.sampled_from(["", "a", "é"]), max_size=3),
    st.none() | st.just([0.5, -1.0]),
    st.none() | st.integers(0, 5),
)


def frame(rows: list[tuple[object, ...]], first: int) -> pl.DataFrame:
    types = {"k": pl.Int64(), "ts": pl.Datetime("us", "UTC"), "x": pl.Float64(), "n": pl.Int32(), "text": pl.String()}
    nested = {"tags": pl.List(pl.String), "v": pl.Array(pl.Float32, 2), "at": pl.Int64()}
    made = pl.DataFrame(rows, schema=types | nested, orient="row")
    return made.with_columns(
        pl.col("at").cast(pl.Datetime("us", "UTC")),
        pl.lit(0, dtype=pl.Int32).alias(PARTITION),
        pl.int_range(first, first + len(rows), dtype=pl.Int64).alias(OFFSET),
    )


NUMBERS = {"x": "float64", "n": "int32"}


@pytest.mark.parametrize(
    ("schema", "few"), [(SCHEMA, FEW), (NUMBERS, FEW), (NUMBERS, 0)], ids=["all", "few numbers", "many numbers"]
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(st.lists(event, min_size=1, max_size=6), st.integers(0, 3)), min_size=1, max_size=4))
def test_a_set_without_windows_steps_as_any_set(
    monkeypatch: pytest.MonkeyPatch,
    schema: dict[str, str],
    few: int,
    batches: list[tuple[list[tuple[object, ...]], int]],
) -> None:
    monkeypatch.setattr(plain_step, "FEW", few)
    layout = FeatureSet("f", [Entity("k", "int64")], "ts", schema).layout
    step = PlainStep(layout)
    stored: dict[int, bytes] = {}
    first = 0
    for rows, replayed in batches:
        events = frame(rows, max(0, first - replayed))
        keys, codes = np.unique(events["k"].to_numpy(), return_inverse=True)
        given_ = Events(codes, events["ts"].dt.epoch("us").to_numpy(), events[OFFSET].to_numpy(), events)
        packed = [stored.get(key) for key in keys.tolist()]
        expected = encode(advance(decode(packed, layout), given_, layout), layout)
        assert step.advanced(packed, given_) == expected
        stored |= dict(zip(keys.tolist(), expected, strict=True))
        first += len(rows)


@pytest.mark.parametrize("keys_a_step", [16, 4_000])
@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 3 * FEW])
def test_few_events_and_many_are_stored_alike(monkeypatch: pytest.MonkeyPatch, count: int, keys_a_step: int) -> None:
    monkeypatch.setattr(online_write, "KEYS_A_STEP", keys_a_step)
    known = applied(FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}))
    online = MemoryOnlineStore()
    events = pl.DataFrame(
        {
            "k": [f"k{place % 50}|" for place in range(count)],
            "ts": pl.Series(range(count), dtype=pl.Datetime("us", "UTC")),
            "x": pl.Series(range(count), dtype=pl.Float64),
            PARTITION: pl.Series([0] * count, dtype=pl.Int32),
            OFFSET: pl.Series(range(count), dtype=pl.Int64),
        }
    )
    leases = {0: online.lease(lease_name(known.full_name, 0))}
    assert not OnlineWriter(known, online).put(events, leases)
    keys = [known.online_key(f"k=sk{place}\\|") for place in range(min(count, 50))]
    states = decode(online.read(keys), known.layout)
    assert states.applied.sum() == count
    assert states.max_ts_us.max() == count - 1


@pytest.mark.parametrize("keys_a_step", [1, 4_000])
def test_a_partition_that_was_taken_over_is_named_and_the_others_are_stored(
    monkeypatch: pytest.MonkeyPatch, keys_a_step: int
) -> None:
    monkeypatch.setattr(online_write, "KEYS_A_STEP", keys_a_step)
    known = applied(FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}))
    online = MemoryOnlineStore()
    leases = {partition: online.lease(lease_name(known.full_name, partition)) for partition in (0, 1)}
    online.lease(lease_name(known.full_name, 0))
    events = pl.DataFrame(
        {
            "k": ["a", "b"],
            "ts": pl.Series([1, 2], dtype=pl.Datetime("us", "UTC")),
            "x": [1.0, 2.0],
            PARTITION: pl.Series([0, 1], dtype=pl.Int32),
            OFFSET: pl.Series([0, 0], dtype=pl.Int64),
        }
    )
    assert list(OnlineWriter(known, online).put(events, leases)) == [0]
    stored = online.read([known.online_key("k=sa"), known.online_key("k=sb")])
    assert [value is None for value in stored] == [True, False]


def test_values_go_a_day_after_they_say_nothing() -> None:
    hour = 3_600_000_000
    window = Aggregate("x", ["sum"], ["2h"], granularity="1h")
    both = FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}, [window], ["x"], ttl="5h")
    assert reach_us(applied(both)) == 5 * hour
    assert reach_us(applied(FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}, [window]))) == 3 * hour
    assert reach_us(applied(FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}, [window], ["x"]))) is None
    now = 100 * DAY_US
    newest = np.array([now, now - DAY_US - 2 * hour, now - DAY_US - 3 * hour])
    live, nearly, history = expiries_ms(newest, 3 * hour, now_us=now)
    assert (live, nearly) == ((now + DAY_US + 3 * hour) // 1000 + 1, (now + hour) // 1000 + 1)
    assert history == 0, "what was loaded long after it happened stays"


def test_a_live_key_is_forgotten_once_its_windows_are_empty_for_a_day() -> None:
    clock_ms = [1_000_000 * 3_600_000]
    online = MemoryOnlineStore(now_ms=lambda: clock_ms[0])
    known = applied(
        FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}, [Aggregate("x", ["sum"], ["1h"], granularity="1h")])
    )
    events = pl.DataFrame(
        {
            "k": ["live", "history"],
            "ts": pl.Series([clock_ms[0] * 1000, 5], dtype=pl.Datetime("us", "UTC")),
            "x": [1.0, 2.0],
            PARTITION: pl.Series([0, 0], dtype=pl.Int32),
            OFFSET: pl.Series([0, 1], dtype=pl.Int64),
        }
    )
    leases = {0: online.lease(lease_name(known.full_name, 0))}
    assert not OnlineWriter(known, online, now_ms=lambda: clock_ms[0]).put(events, leases)
    keys = [known.online_key("k=slive"), known.online_key("k=shistory")]
    for hours, there in ((0, [True, True]), (26, [True, True]), (27, [False, True])):
        clock_ms[0] = (1_000_000 + hours) * 3_600_000
        assert [value is not None for value in online.read(keys)] == there
