"""Declarations are checked where they are written, and the message gives the cure."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.rules import Rule
from eagleray.featurestore.definitions.windows import Window
from eagleray.runtime.errors import DefinitionError

CARD = Entity("card")


def declare(**changes: object) -> FeatureSet:
    given: dict[str, object] = {
        "entities": [CARD],
        "timestamp": "ts",
        "schema": {"amount": "float64", "city": "string"},
    }
    return FeatureSet("cards", **(given | changes))  # type: ignore[arg-type]


def derived(**changes: object) -> FeatureSet:
    columns = {"amount": "float64", "city": "string"}
    given: dict[str, object] = {
        "entities": [Entity("city")], "source": FeatureSet("transactions", [CARD], "ts", columns),
    }  # fmt: skip
    return FeatureSet("cities", **(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Entity("card id"), "letters, digits"),
        (lambda: Entity("card", "float"), "'string' or 'int64'"),  # type: ignore[arg-type]
        (lambda: declare(entities=[]), "at least one Entity"),
        (lambda: declare(entities=[CARD, CARD]), "'card' is declared twice"),
        (lambda: declare(timestamp="amount"), "must not stand in the schema"),
        (lambda: declare(schema={"amount": "float"}), "unknown type 'float'; did you mean 'float64'"),
        (lambda: declare(ttl="soon"), "cannot read the duration 'soon'"),
        (lambda: declare(rules=[Rule("amont").not_null()]), "did you mean 'amount'"),
        (lambda: declare(rules=[Rule("amount")]), "checks nothing"),
        (lambda: Rule("amount").between(2, 1), "swap the bounds"),
        (lambda: declare(aggregates=[Aggregate("amont", ["sum"], ["1h"])]).layout, "did you mean 'amount'"),
        (lambda: declare(aggregates=[Aggregate("city", ["sum"], ["1h"])]).layout, "cannot take 'sum' of 'city'"),
        (lambda: declare(features=["amont"]).layout, "did you mean 'amount'"),
        (lambda: declare(aggregates=[Aggregate("amount", ["sum"], ["1h"])] * 2).layout, "defined twice"),
        (lambda: derived(timestamp="tss"), "did you mean 'ts'"),
        (lambda: derived(entities=[Entity("amount", "int64")]), "'amount' is float64 in transactions, not int64"),
        (lambda: derived(schema={"citi": "string"}), "did you mean 'city'"),
        (lambda: FeatureSet("s", [Entity("k")], schema={"x": "int64"}), "says when"),
        (lambda: Aggregate("x", ["mean"], ["1h"]), "no function 'mean'"),
        (lambda: Aggregate("x", [], ["1h"]), "at least one function"),
        (lambda: Aggregate("*", ["sum"], ["1h"]), 'only "count"'),
        (lambda: Aggregate("x", ["sum"], ["1 hour"]), "cannot read the duration"),
        (lambda: Aggregate("x", ["sum"], ["1h"], granularity="7m"), "does not divide"),
        (lambda: FeatureVector("v", ["amount"]), "write 'SET:FEATURE'"),
        (lambda: FeatureVector("v", ["a:b", "a:b"]), "named twice"),
        (lambda: FeatureVector("v", ["a:b"], request={"ts": "timestamp"}, event_time="ts"), "is no feature"),
    ],
)
def test_a_wrong_declaration_says_the_cure(build: Callable[[], object], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        build()


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda frame: frame.drop("card"), "dropped 'card'"),
        (lambda frame: frame.filter(pl.lit(False)).select("amount"), "dropped 'card'"),
        (lambda frame: None, "must return a Polars frame"),
        (lambda frame: frame.with_columns(pair=pl.struct("amount", "city")), "'pair' has type Struct"),
    ],
)
def test_a_wrong_transform_is_found_before_any_data(
    transform: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    declared = declare()
    declared.transform(transform)
    with pytest.raises(DefinitionError, match=message):
        declared.content_hash()


def test_the_content_hash_sees_code_and_not_prose() -> None:
    plain, described, coded = declare(), declare(description="about cards", owner="risk"), declare()
    coded.transform(lambda frame: frame.with_columns(twice=pl.col("amount") * 2))
    assert plain.content_hash() == described.content_hash() != coded.content_hash()
    assert coded.output_schema == {
        "card": "string",
        "ts": "timestamp",
        "amount": "float64",
        "city": "string",
        "twice": "float64",
    }


def test_a_transform_set_after_the_first_look_counts() -> None:
    late, before = declare(features=None), declare().content_hash()
    assert (late.content_hash(), late.feature_types) == (before, {"amount": "float64", "city": "string"})
    late.transform(lambda frame: frame.with_columns(twice=pl.col("amount") * 2))
    assert late.content_hash() != before
    assert late.feature_types == {"amount": "float64", "city": "string", "twice": "float64"}


@pytest.mark.parametrize(
    ("name", "granularity_us"),
    [
        ("1s", 15_625),  # 64 tiles: 60 do not divide a million microseconds
        ("30s", 500_000),
        ("10m", 10_000_000),
        ("1h", 60_000_000),
        ("1d", 600_000_000),
        ("7d", 3_600_000_000),
        ("30d", 43_200_000_000),
        ("90d", 86_400_000_000),
    ],
)
def test_default_granularity(name: str, granularity_us: int) -> None:
    window = Window.parse(name)
    assert window.granularity_us == granularity_us
    assert window.length_us % granularity_us == 0


def test_rings_are_shared_by_granularity() -> None:
    aggregates = [Aggregate("amount", ["sum"], ["1h", "2h"], granularity="5m"), Aggregate("amount", ["max"], ["1d"])]
    rings = declare(aggregates=aggregates).layout.rings
    assert [(ring.granularity_us, ring.length_us) for ring in rings] == [
        (300_000_000, 7_200_000_000),
        (600_000_000, 86_400_000_000),
    ]
    assert [[field.kind for field in ring.fields] for ring in rings] == [["rows", "n", "sum"], ["rows", "max", "n"]]


def test_a_derived_set_takes_what_it_is_not_keyed_by() -> None:
    cities = derived(aggregates=[Aggregate("amount", ["sum"], ["1h"])])
    assert cities.input_schema == {"city": "string", "ts": "timestamp", "card": "string", "amount": "float64"}
    again = FeatureSet("transactions", [CARD], "ts", {"amount": "float64", "city": "string"}, ttl="1h")
    assert derived(source=again, aggregates=cities.aggregates).content_hash() != cities.content_hash()
