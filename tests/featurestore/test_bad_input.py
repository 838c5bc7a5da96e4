"""Bad input ends in a clear error or among the dead letters, by whichever door it comes; never in a wrong value."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import DefinitionError, InputError
from eagleray.runtime.settings import Settings

from .bench import same_bits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
GOOD: dict[str, object] = {"card": "c", "ts": NOON, "amount": 1.0, "count": 1, "note": "n", "ok": True}


def cards(*windows: str) -> FeatureSet:
    schema = {"amount": "float64", "count": "int64", "note": "string", "ok": "bool"}
    aggregates = [Aggregate("amount", ["count", "sum"], windows or ["1h"]), Aggregate("count", ["max"], ["1h"])]
    return FeatureSet("cards", [Entity("card")], "ts", schema, aggregates, features=["note"])


class Clock:
    """A clock that jumps."""

    now = NOON + timedelta(days=1)

    def __call__(self) -> int:
        return int(self.now.timestamp()) * 1_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(valkey: Settings, tmp_path: Path, clock: Clock) -> Iterator[FeatureStore]:
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    settings = Settings(home=valkey.home, offline_uri=str(tmp_path / "tables"), catalog_url=catalog)
    with FeatureStore(settings, now_us=clock) as opened:
        opened.apply(cards())
        yield opened


def told(store: FeatureStore, card: str = "c", *, at: datetime = NOON + timedelta(minutes=1)) -> dict[str, Any]:
    """What is known of a card, online and offline alike."""
    vector = FeatureVector("v", ["cards:*"], event_time="ts")
    online = store.get_online_features(vector, [{"card": card, "ts": at}]).to_polars()
    training = store.get_historical_features(vector, pl.DataFrame({"card": [card], "ts": [at]}))
    assert same_bits(online.select(training.feature_names), training.to_polars().select(training.feature_names))
    return online.row(0, named=True)


DOORS = ["push", "dicts", "frame", "parquet", "jsonl"]


def give(store: FeatureStore, door: str, rows: list[dict[str, object]], folder: Path) -> int:
    """The rows through one of the doors."""
    if door == "push":
        return store.push(cards(), rows, wait=True)
    if door == "dicts":
        return store.ingest(cards(), rows)
    frame = pl.DataFrame(rows, strict=False)
    if door == "frame":
        return store.ingest(cards(), frame)
    if door == "parquet":
        frame.write_parquet(folder / "rows.parquet")
        return store.ingest(cards(), folder / "rows.parquet")
    frame.with_columns(pl.col(pl.Datetime).dt.to_string("iso:strict")).write_ndjson(folder / "rows.jsonl")
    return store.ingest(cards(), folder / "rows.jsonl")


WRONG: list[tuple[str, object]] = [
    ("amount", "1"),
    ("amount", True),
    ("count", 1.5),
    ("count", "1"),
    ("count", 2**63),
    ("note", 7),
    ("ok", "true"),
    ("ok", 1),
    ("card", 7),
    ("ts", "noon"),
    ("ts", 1.5),
    ("ts", True),
    ("amount", [1.0]),
    ("note", {"a": 1}),
]


@pytest.mark.parametrize("door", DOORS)
def test_a_value_of_a_wrong_type_is_refused_and_nothing_is_written(
    store: FeatureStore, tmp_path: Path, door: str
) -> None:
    for column, value in WRONG:
        with pytest.raises(InputError, match=column):
            give(store, door, [{**GOOD, column: value}], tmp_path)
    assert store._offline.version(store.get("cards").full_name) == -1
    assert store.dead_letters("cards") == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("column", ["card", "ts", "amount"])
def test_a_missing_column_is_named(store: FeatureStore, tmp_path: Path, door: str, column: str) -> None:
    with pytest.raises(InputError, match=f"column '{column}' is missing; did you mean '{column}_'"):
        give(store, door, [{name if name != column else f"{name}_": value for name, value in GOOD.items()}], tmp_path)


@pytest.mark.parametrize("door", DOORS)
def test_columns_that_nobody_asked_for_are_left_out(store: FeatureStore, tmp_path: Path, door: str) -> None:
    assert give(store, door, [{**GOOD, "more": 1, "_offset": 99, "_partition": 3}], tmp_path) == 1
    assert told(store)["cards__amount_sum_1h"] == 1.0


@pytest.mark.parametrize("door", DOORS)
def test_rows_without_key_or_time_are_put_aside(store: FeatureStore, tmp_path: Path, door: str) -> None:
    rows = [GOOD, {**GOOD, "card": None}, {**GOOD, "ts": None}]
    assert give(store, door, rows, tmp_path) == 1
    assert sorted(letter.reason for letter in store.dead_letters("cards")) == ["card is null", "ts is null"]
    assert told(store)["cards__amount_count_1h"] == 1


TEXTS = [
    "",
    "a",
    "a\x00b",
    "\x00",
    "\x00\x00",
    "é",
    "e\u0301",
    "a|card=sb",
    "\\",
    "\\|",
    "{1}",
    "\U0001f600",
    " c",
    "c",
    "c\n",
]


@pytest.mark.parametrize("door", DOORS)
def test_any_text_is_a_key_of_its_own(store: FeatureStore, tmp_path: Path, door: str) -> None:
    rows = [{**GOOD, "card": text, "amount": float(place), "note": text} for place, text in enumerate(TEXTS)]
    assert give(store, door, rows, tmp_path) == len(rows)
    for place, text in enumerate(TEXTS):
        known = told(store, text)
        assert (known["cards__amount_sum_1h"], known["cards__amount_count_1h"]) == (float(place), 1)
        assert known["cards__note"] == text


@pytest.mark.parametrize("door", ["push", "frame", "parquet"])
def test_ten_megabytes_of_text(store: FeatureStore, tmp_path: Path, door: str) -> None:
    long = "é" * (5 << 20)
    assert give(store, door, [{**GOOD, "note": long}, {**GOOD, "card": long, "note": "short"}], tmp_path) == 2
    assert told(store)["cards__note"] == long
    assert told(store, long)["cards__note"] == "short"


@pytest.mark.parametrize("door", DOORS)
def test_numbers_that_would_void_a_sum_are_put_aside(store: FeatureStore, tmp_path: Path, door: str) -> None:
    if door == "jsonl":
        pytest.skip("JSON has no infinity")
    rows = [GOOD, {**GOOD, "amount": float("inf")}, {**GOOD, "amount": -1e300}, {**GOOD, "amount": float("nan")}]
    give(store, door, rows, tmp_path)
    known = told(store)
    assert (known["cards__amount_sum_1h"], known["cards__amount_count_1h"]) == (1.0, 1)
    assert {letter.reason for letter in store.dead_letters("cards")} == {"amount is infinite or beyond 2**62"}


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_clock_that_jumps_back_clamps_alike_in_both_stores(
    store: FeatureStore, clock: Clock, batch_first: bool
) -> None:
    early, late = {**GOOD, "amount": 2.0, "note": "early"}, {**GOOD, "ts": NOON + timedelta(minutes=30), "note": "late"}
    steps = [lambda row: store.ingest(cards(), [row]), lambda row: store.push(cards(), [row], wait=True)]
    first, second = steps if batch_first else steps[::-1]
    first(late)
    clock.now = NOON - timedelta(hours=2)  # everything given now is stamped no later than this
    second(early)
    after = NOON + timedelta(minutes=31)
    assert (told(store, at=after)["cards__amount_sum_1h"], told(store, at=after)["cards__note"]) == (1.0, "late")


def test_a_schema_that_changes_under_a_running_stream(store: FeatureStore) -> None:
    with store.stream(cards()):
        store.push(cards(), [GOOD], wait=True)
        with FeatureStore(store.settings) as other:
            other.apply(cards("1h", "1d"))
            with pytest.raises(DefinitionError, match="cards has changed since version 2 was applied"):
                other.push(cards(), [GOOD])
            other.push(cards("1h", "1d"), [{**GOOD, "amount": 9.0}], wait=True)
            assert told(other)["cards__amount_sum_1d"] == 9.0
        with pytest.raises(DefinitionError, match="has changed since version 1"):
            store.push(cards("1h", "1d"), [GOOD])
        store.push(cards(), [{**GOOD, "amount": 2.0}], wait=True)
    assert told(store)["cards__amount_sum_1h"] == 3.0, "the version that this program knows goes on as it was"


def test_whole_and_broken_numbers_make_one_float_column(store: FeatureStore) -> None:
    assert store.ingest(cards(), [{**GOOD, "amount": 1}, {**GOOD, "amount": 2.5}]) == 2
    assert told(store)["cards__amount_sum_1h"] == 3.5
