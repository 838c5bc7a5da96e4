"""Windows read out of stored bytes, however the tiles lie there, against the training set of the same log."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.wanted import resolve
from eagleray.featurestore.offline import as_of, at_once
from eagleray.featurestore.online.online_read import VectorReader
from eagleray.featurestore.state.packed import Opener
from eagleray.featurestore.state.window_read import WindowPlan
from eagleray.runtime.errors import StorageError

from ..bench import Bench, same_bits

NOON_US = 1_772_452_800_000_000
HOUR_US = 3_600_000_000
FIXED = Aggregate("x", ["count", "sum", "avg", "min", "max", "stddev"], ["1h", "1d", "7d"])
# Slots of one size and nothing else; a ring of two windows; slots of several sizes; text before them, lists behind.
LAYOUTS: dict[str, tuple[list[Aggregate], list[str]]] = {
    "one table": ([FIXED], []),
    "a number before": ([FIXED], ["x"]),
    "shared": ([FIXED, Aggregate("x", ["sum"], ["12h"], granularity="10m")], []),
    "uneven": ([FIXED, Aggregate("y", ["max"], ["7d"])], []),
    "text and lists": ([FIXED, Aggregate("x", ["last_2", "top_2"], ["1d"])], ["name", "y"]),
}


def bench_of(layout: str, scale: float) -> Bench:
    aggregates, features = LAYOUTS[layout]
    schema = {"x": "float64", "y": "int64", "name": "string"}
    bench = Bench(FeatureSet("f", [Entity("k", "int64")], "ts", schema, aggregates, features=features))
    rng = np.random.default_rng(3)
    count = 3_000
    values = rng.lognormal(3, 1, count) * scale
    bench.backfill(
        [
            {
                "k": int(key),
                "ts": NOON_US - int(age),
                "x": None if lost else float(value),
                "y": int(key) - 5,
                "name": "é" * int(key),
            }
            for key, age, value, lost in zip(
                np.sqrt(rng.integers(0, 900, count)),
                rng.integers(0, 8 * 24 * HOUR_US, count),
                values,
                rng.random(count) < 0.1,
                strict=True,
            )
        ]
    )
    return bench


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", [1.0, -1.0, 1e15], ids=["small", "negative", "beyond 64 bits"])
def test_online_is_the_training_set(layout: str, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # The training set in parts and by several threads, as a large one is made.
    monkeypatch.setattr(as_of, "PART", 37)
    monkeypatch.setattr(at_once, "FEW_ROWS", 0)
    bench = bench_of(layout, scale)
    rng = np.random.default_rng(4)
    # Unknown keys too; moments at which every tile is in the window, some, or none.
    asked = [
        {"k": int(key), "at": NOON_US + int(later)}
        for key, later in zip(rng.integers(0, 40, 300), rng.integers(0, 9 * 24 * HOUR_US, 300), strict=True)
    ]
    online = bench.online(asked)
    assert same_bits(online, bench.offline(asked))
    for names in (online.columns, online.columns[1::2], online.columns[-1:]):
        numbers = [name for name in names if online[name].dtype.is_numeric()]
        vector = FeatureVector("v", [name.replace("f__", "f:") for name in numbers], event_time="at")
        found = VectorReader(vector, resolve(vector, lambda _: bench.applied), bench.stores.online).read(asked)
        expected = online.select(pl.col(numbers).cast(pl.Float64).fill_null(np.nan)).to_numpy()
        assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_event_at_all(layout: str) -> None:
    aggregates, features = LAYOUTS[layout]
    schema = {"x": "float64", "y": "int64", "name": "string"}
    bench = Bench(FeatureSet("f", [Entity("k", "int64")], "ts", schema, aggregates, features=features))
    row = bench.online([{"k": 1, "at": NOON_US}]).row(0, named=True)
    assert {name for name, value in row.items() if value is not None} == {
        name for name in row if "count" in name or "sum" in name
    }
    assert not any(row[name] for name in row if "count" in name or "sum" in name)


def test_a_value_that_lost_bytes_is_refused_whatever_the_others_are() -> None:
    bench = bench_of("one table", 1.0)
    layout = bench.applied.layout
    opener, plan = Opener(layout), WindowPlan(layout, layout.windowed)
    first, second = (bench.stored({"k": key}) or b"" for key in (3, 4))
    assert list(plan.read(opener.open([first, second]), np.full(2, NOON_US)))
    # What one lost the other has gained: together they are as long as they should be.
    for values in ([first[:-8], second + first[-8:]], [first, second[:-1]]):
        with pytest.raises(StorageError, match="unknown form"):
            list(plan.read(opener.open(values), np.full(2, NOON_US)))
