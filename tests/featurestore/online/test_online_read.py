"""Reading online: every form of the answer agrees, and requests are checked."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity, row_key
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.wanted import Wanted, resolve
from eagleray.featurestore.online.online_keys import OnlineKeys
from eagleray.featurestore.online.online_read import VectorReader
from eagleray.featurestore.online.requests import Requests
from eagleray.runtime.errors import DefinitionError, InputError, StorageError

from ..bench import Bench, applied, same_bits

NOON_US = 1_772_452_800_000_000
MIXED = {
    "a": "float64",
    "b": "float64",
    "n": "int64",
    "yes": "bool",
    "name": "string",
    "when": "timestamp",
    "c": "float64",
}
ROWS: list[dict[str, object]] = [
    {"k": "x", "ts": NOON_US, "a": 1.5, "b": -0.0, "n": 7, "yes": True, "name": "Zoë", "when": NOON_US, "c": 3.0},
    {"k": "y", "ts": NOON_US, "a": None, "b": 2.0, "n": None, "yes": None, "name": None, "when": None, "c": None},
    {"k": "z|\\", "ts": NOON_US, "a": 4.0, "b": 5.0, "n": 6, "yes": False, "name": "", "when": 0, "c": 7.0},
]


def mixed(ttl: str | None = None) -> Bench:
    bench = Bench(FeatureSet("f", [Entity("k")], "ts", MIXED, ttl=ttl))
    bench.stream(ROWS)
    return bench


def reader(bench: Bench, *features: str) -> VectorReader:
    vector = FeatureVector("v", [f"f:{name}" for name in features] or ["f:*"], event_time="at")
    return VectorReader(vector, resolve(vector, lambda _: bench.applied), bench.stores.online)


def asked(*keys: str, at: int = NOON_US + 1) -> list[dict[str, object]]:
    return [{"k": key, "at": at} for key in keys]


def test_every_form_holds_the_same() -> None:
    found = reader(mixed()).get(asked("x", "nobody", "y", "z|\\"))
    frame = found.to_polars()
    assert found.to_dict() == {name: frame[name].to_list() for name in found.names}
    assert found.to_rows() == frame.to_dicts()
    assert found.to_arrow().to_pylist() == frame.to_dicts()
    assert found.to_pandas().shape == frame.shape
    assert found["f__name"].to_list() == ["Zoë", None, None, ""]
    assert found["f__when"].to_list() == [
        datetime(2026, 3, 2, 12, tzinfo=UTC),
        None,
        None,
        datetime(1970, 1, 1, tzinfo=UTC),
    ]
    assert frame["f__yes"].to_list() == [True, None, None, False]
    assert len(found) == 4
    with pytest.raises(DefinitionError, match="no column 'f__nam'; did you mean 'f__name'"):
        found["f__nam"]


@pytest.mark.parametrize("features", [("a", "b", "n", "yes", "c"), ("c", "a"), ("a", "b"), ("b",), ("yes", "n", "a")])
def test_numbers_are_the_frame_with_nan_for_null(features: tuple[str, ...]) -> None:
    found = reader(mixed(), *features).get(asked("x", "y", "nobody", "z|\\"))
    expected = found.to_polars().select(pl.all().cast(pl.Float64).fill_null(np.nan)).to_numpy()
    assert np.array_equal(found.to_numpy(), expected, equal_nan=True)
    assert found.names == tuple(f"f__{name}" for name in features)


def test_it_tells_what_a_request_must_bring() -> None:
    assert reader(mixed(), "a").asks == {"k": "string", "at": "timestamp"}
    vector = FeatureVector("v", ["f:a"], request={"amount": "float64", "near": "vector[2]"})
    opened = VectorReader(vector, resolve(vector, lambda _: mixed().applied), mixed().stores.online)
    assert opened.asks == {"k": "string", "amount": "float64", "near": "vector[2]"}
    assert opened.get([{"k": "x", "amount": 1.0, "near": [0.5, 1.0]}]).names == ("amount", "near", "f__a")


def test_negative_zero_stays() -> None:
    assert np.signbit(reader(mixed(), "b").read(asked("x"))[0, 0])


def test_a_value_expires_by_its_age_at_the_moment_asked() -> None:
    opened = reader(mixed(ttl="1h"), "a", "name")
    hour = 3_600_000_000
    assert opened.get(asked("x", at=NOON_US + hour)).to_rows() == [{"f__a": 1.5, "f__name": "Zoë"}]
    assert opened.get(asked("x", at=NOON_US + hour + 1)).to_rows() == [{"f__a": None, "f__name": None}]
    assert np.isnan(reader(mixed(ttl="1h"), "a").read(asked("x", at=NOON_US + hour + 1))).all()


def test_requests_as_columns_are_requests_as_rows() -> None:
    opened = reader(mixed())
    rows = asked("x", "nobody", "y")
    columns = {"k": [row["k"] for row in rows], "at": [row["at"] for row in rows]}
    assert same_bits(opened.frame(rows), opened.frame(columns))
    with pytest.raises(InputError, match="equally long"):
        opened.get({"k": ["x"], "at": [1, 2]})
    with pytest.raises(InputError, match="at must be a time"):
        opened.get({"k": ["x"]})
    assert len(opened.get([])) == 0


def test_each_row_knows_its_moment_and_what_it_has_seen() -> None:
    found = reader(mixed()).get([*asked("x", at=5), *asked("y", at=NOON_US + 9), *asked("nobody", at=3)])
    assert found.asked_us.tolist() == [5, NOON_US + 9, 3]
    assert found.moments_us["f.v1"].tolist() == [NOON_US + 1, NOON_US + 9, 3]
    assert found.offsets["f.v1"].tolist()[2] == -1
    assert min(found.offsets["f.v1"].tolist()[:2]) >= 0


def test_foreign_bytes_are_named() -> None:
    bench = mixed()
    key = bench.applied.online_key(row_key(bench.applied.entities, {"k": "x"}, owner="t"))
    bench.stores.online.write(
        [(key, b"\x63" + b"\xff" * 200)], lease=bench.stores.online.lease(bench.applied.full_name)
    )
    with pytest.raises(StorageError, match="unknown form"):
        reader(bench).get(asked("x"))


def test_keys_of_many_requests_are_the_keys_of_each() -> None:
    one = applied(FeatureSet("one", [Entity("b", "int64")], "ts", {"x": "float64"}))
    two = applied(FeatureSet("two", [Entity("b", "int64"), Entity("a")], "ts", {"x": "float64"}))
    rows: list[dict[str, object]] = [{"a": "1|2\\", "b": 3}, {"a": "é{}%", "b": -(2**62)}]
    wanted = [Wanted(item, ()) for item in (one, two)]
    expected = [item.online_key(row_key(item.entities, row, owner="v")) for item in (one, two) for row in rows]
    assert OnlineKeys(wanted).of(Requests(rows, owner="v")) == expected
    for bad, message in (({"b": 1}, "lacks 'a'"), ({"a": "x", "b": True}, "must be int64"), ({"a": None, "b": 1}, "a")):
        with pytest.raises(InputError, match=message):
            OnlineKeys(wanted).of(Requests([bad], owner="v"))


def test_windows_and_latest_values_of_one_set() -> None:
    bench = Bench(
        FeatureSet(
            "f",
            [Entity("k")],
            "ts",
            {"x": "float64", "name": "string"},
            [Aggregate("x", ["sum"], ["1h"])],
            ["x", "name"],
        )
    )
    bench.stream([{"k": "a", "ts": NOON_US + step, "x": float(step), "name": f"n{step}"} for step in range(3)])
    found = reader(bench).get([{"k": "a", "at": NOON_US + 9}, {"k": "b", "at": NOON_US}])
    assert found.to_rows() == [
        {"f__x_sum_1h": 3.0, "f__x": 2.0, "f__name": "n2"},
        {"f__x_sum_1h": 0.0, "f__x": None, "f__name": None},
    ]


FUNCTIONS = ["count", "sum", "avg", "min", "max", "stddev", "last", "distinct"]


def test_some_windows_of_some_functions_are_as_when_all_are_read() -> None:
    aggregates = [Aggregate("x", FUNCTIONS, ["30s", "10m", "1h"]), Aggregate("*", ["count"], ["1h"])]
    bench = Bench(FeatureSet("f", [Entity("k")], "ts", {"x": "float64", "name": "string"}, aggregates, ["name", "x"]))
    rng = np.random.default_rng(3)
    bench.stream(
        [
            {
                "k": f"k{at % 7}",
                "ts": NOON_US + int(rng.integers(0, 3_600_000_000)),
                "x": float(at) / 3,
                "name": "n" * at,
            }
            for at in range(150)
        ]
    )
    rows = [{"k": f"k{at}", "at": NOON_US + 3_600_000_000 + at * 60_000_000} for at in range(9)]
    whole = reader(bench).get(rows)
    frame = whole.to_polars()
    assert whole.to_dict() == {name: frame[name].to_list() for name in frame.columns}
    for features in (
        ["x_max_10m"],
        ["x_avg_1h", "x_sum_30s", "x_avg_30s", "x"],
        ["count_1h", "x_count_1h", "x_last_1h", "name"],
        ["x_sum_1h", "x_sum_30s", "x_sum_10m"],
    ):
        some = reader(bench, *features).get(rows)
        assert same_bits(some.to_polars(), frame.select(some.names))
        if "name" not in features:
            expected = frame.select(pl.col(some.names).cast(pl.Float64).fill_null(np.nan)).to_numpy()
            assert np.array_equal(some.to_numpy(), expected, equal_nan=True)


@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 40), slice(0, 5)])
def test_a_value_of_another_length_is_foreign(cut: slice) -> None:
    bench = Bench(FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}, [Aggregate("x", ["sum"], ["1h"])]))
    bench.stream([{"k": "a", "ts": NOON_US, "x": 1.0}])
    value = bench.stored({"k": "a"})
    assert value is not None
    key = bench.applied.online_key(row_key(bench.applied.entities, {"k": "a"}, owner="t"))
    bench.stores.online.erase(key)
    bench.stores.online.write([(key, value[cut])], lease=bench.stores.online.lease(bench.applied.full_name))
    with pytest.raises(StorageError, match="unknown form"):
        reader(bench).read(asked("a"))


def test_a_request_is_watched_at_its_own_moment() -> None:
    bench = mixed()
    reader = VectorReader(bench.vector, resolve(bench.vector, lambda _: bench.applied), bench.stores.online)
    assert reader.moment_us({"at": "2026-03-02T12:00:00Z"}) == NOON_US
    with pytest.raises(InputError, match="must be a time"):
        reader.moment_us({})
