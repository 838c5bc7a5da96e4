"""Rows that cannot be worked through stand aside with a reason; the others go on, wherever the bad ones are."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.events.log import DeadLetter
from eagleray.featurestore.events.quarantine import MOST_HALVINGS, sifted

from ..bench import Bench

NOON_US = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1e6)


def picky(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series, tuple[DeadLetter, ...]]:
    """Raises for a 13, refuses what is negative."""
    if (frame["x"] == 13).any():
        raise ZeroDivisionError("thirteen\nand more")
    good = frame["x"] >= 0
    letters = tuple(DeadLetter(f"{x} is below 0" if x > -5 else "far below", "{}") for x in frame["x"].filter(~good))
    return frame.with_columns(double=pl.col("x") * 2), good, letters


@given(st.lists(st.sampled_from([1, 2, 3, 13, -1, -2, -9]), max_size=40))
def test_only_the_bad_rows_stand_aside(values: list[int]) -> None:
    through = sifted(pl.DataFrame({"x": values}, schema={"x": pl.Int64}), picky)
    good = [place for place, value in enumerate(values) if value >= 0 and value != 13]
    assert through.positions.tolist() == good
    if good:
        assert through.made["double"].to_list() == [2 * values[place] for place in good]
    reasons = dict(through.refused)
    assert reasons == {
        place: "ZeroDivisionError: thirteen" if value == 13 else f"{value} is below 0" if value > -5 else "far below"
        for place, value in enumerate(values)
        if place not in good
    }


def test_what_never_works_is_given_up_in_time() -> None:
    calls = 0

    def broken(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series, tuple[DeadLetter, ...]]:
        nonlocal calls
        calls += 1
        raise ValueError

    frame = pl.DataFrame({"x": np.arange(50_000)})
    through = sifted(frame, broken)
    assert len(through.refused) == frame.height
    assert calls <= MOST_HALVINGS + 64


def declared() -> FeatureSet:
    feature_set = FeatureSet(
        "s", [Entity("k", "int64")], "ts", {"text": "string"}, [Aggregate("x", ["sum"], ["1h"])], features=[]
    )

    @feature_set.transform
    def parsed(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(x=pl.col("text").cast(pl.Float64))

    return feature_set


def test_a_transform_that_raises_for_one_row_costs_that_row_only() -> None:
    bench = Bench(declared())
    texts = ["1", "2", "many", "4", None, "inf"]
    bench.stream([{"k": 1, "ts": NOON_US, "text": text} for text in texts])
    assert bench.both({"k": 1, "at": NOON_US + 1}) == {"s__x_sum_1h": 7.0}
    letters = bench.stores.log.buried()
    assert [json.loads(letter.row)["text"] for letter in letters] == ["many", "inf"]
    assert "InvalidOperationError" in letters[0].reason
    assert letters[1].reason == "x is infinite or beyond 2**62"
    assert all(letter.place is not None for letter in letters)


def test_a_batch_worked_through_again_buries_nothing_twice() -> None:
    bench = Bench(declared())
    bench.append([{"k": k, "ts": NOON_US, "text": "bad"} for k in range(9)])
    bench.worker().drain()  # and dies before it saves
    bench.worker().drain()
    assert len(bench.stores.log.buried()) == 9


def test_events_of_another_schema_are_put_aside_and_the_stream_goes_on() -> None:
    bench = Bench(declared())
    log = bench.stores.log
    log.append({0: pl.DataFrame({"k": [1], "ts": ["noon"], "text": ["1"]})})
    log.append({0: pl.DataFrame({"other": [1, 2]})})
    fitting = pl.DataFrame({"k": [1], "ts": [NOON_US], "text": ["5"], "more": [0]})  # with a column more
    log.append({0: fitting})
    bench.stream([])
    assert bench.both({"k": 1, "at": NOON_US + 1}) == {"s__x_sum_1h": 5.0}
    assert [letter.reason.split(": ")[1].split(",")[0] for letter in log.buried()] == [
        "column 'ts' holds 'noon'",
        "column 'k' is missing; known",
        "column 'k' is missing; known",
    ]
