"""The store as a user meets it, on the embedded server and Delta tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cloudpickle
import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.rules import Rule
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import (
    DefinitionError,
    FeatureNotFound,
    FeatureSetNotFound,
    InputError,
    ServerUnavailable,
)
from eagleray.runtime.settings import Settings

from .bench import same_bits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def cards() -> FeatureSet:
    declared = FeatureSet(
        "cards",
        entities=[Entity("card", "string")],
        timestamp="ts",
        schema={"amount": "float64"},
        aggregates=[Aggregate("amount", ["count", "sum", "max"], ["1h", "1d"]), Aggregate("night", ["sum"], ["1d"])],
        rules=[Rule("amount").between(0, 1000)],
    )

    @declared.transform
    def night(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(night=pl.col("ts").dt.hour() < 7)

    return declared


def vector() -> FeatureVector:
    declared = FeatureVector("fraud", ["cards:*"], request={"amount": "float64"}, event_time="ts")

    @declared.on_demand("ratio")
    def ratio(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(ratio=pl.col("amount") / pl.col("cards__amount_max_1d"))

    return declared


def history(minutes: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "card": [f"c{minute % 3}" for minute in range(minutes)],
            "ts": [NOON + timedelta(minutes=minute) for minute in range(minutes)],
            "amount": [float(minute) for minute in range(minutes)],
        }
    )


@pytest.fixture
def store(valkey: Settings, tmp_path: Path) -> Iterator[FeatureStore]:
    """A store on the shared server with a catalog and tables of its own."""
    settings = Settings(
        home=valkey.home,
        offline_uri=str(tmp_path / "offline"),
        catalog_url=f"sqlite:///{tmp_path / 'catalog.db'}",
    )
    from eagleray.runtime import redis_client

    redis_client.connect(settings).flushall()
    with FeatureStore(settings) as opened:
        yield opened


def test_batch_then_stream_then_both_reads_agree(store: FeatureStore) -> None:
    feature_set, features = cards(), vector()
    store.apply(feature_set)
    assert store.ingest(feature_set, history(60)) == 60
    later = NOON + timedelta(minutes=90)
    with store.stream(feature_set) as stream:
        store.push(feature_set, [{"card": "c0", "ts": NOON + timedelta(minutes=70), "amount": 7.0}], wait=True)
        asked = [{"card": card, "ts": later, "amount": 5.0} for card in ("c0", "c1", "nobody")]
        online = store.get_online_features(features, asked)
    assert stream.events == 1
    training = store.get_historical_features(features, pl.DataFrame(asked))
    assert training.vector == features.name
    assert training.to_polars().columns[:3] == ["card", "ts", "amount"]
    assert same_bits(online.to_polars(), training.to_polars().select(training.feature_names))
    assert online["cards__amount_count_1h"].to_list() == [11, 10, 0]
    assert online["ratio"].to_list() == [5.0 / 57.0, 5.0 / 58.0, None]
    assert training.pins == {"cards.v1": 1}
    numbers = store.vector_reader(features).read(asked)
    assert np.array_equal(numbers, training.to_numpy(), equal_nan=True)


def test_push_without_a_stream_is_worked_through_when_asked(store: FeatureStore) -> None:
    feature_set = cards()
    store.apply(feature_set)
    assert store.push(feature_set, history(3), wait=True) == 3
    asked = [{"card": "c1", "ts": NOON + timedelta(hours=1), "amount": 0.0}]
    assert store.get_online_features(vector(), asked)["cards__amount_sum_1h"].to_list() == [1.0]


def test_events_pushed_while_nobody_listens_are_not_lost(store: FeatureStore) -> None:
    feature_set = cards()
    store.apply(feature_set)
    store.push(feature_set, history(9))
    with store.stream(feature_set):
        pass
    asked = pl.DataFrame({"card": ["c0"], "ts": [NOON + timedelta(hours=1)], "amount": [0.0]})
    assert store.get_historical_features(vector(), asked).to_polars()["cards__amount_count_1h"].to_list() == [3]


def test_rows_that_break_a_rule_are_put_aside_with_the_reason(store: FeatureStore) -> None:
    feature_set = cards()
    store.apply(feature_set)
    bad: list[dict[str, object]] = [
        {"card": "c", "ts": NOON, "amount": 5000.0},
        {"card": None, "ts": NOON, "amount": 1.0},
    ]
    assert store.push(feature_set, [*bad, {"card": "c", "ts": NOON, "amount": 1.0}], wait=True) == 1
    assert [letter.reason for letter in store.dead_letters("cards")] == [
        "card is null",
        "amount is not between 0 and 1000",
    ]


def test_values_that_would_void_a_sum_are_put_aside(store: FeatureStore) -> None:
    feature_set = FeatureSet("f", [Entity("k")], "ts", {"x": "float64"}, [Aggregate("x", ["sum"], ["1h"])])
    store.apply(feature_set)
    store.push(feature_set, [{"k": "a", "ts": NOON, "x": x} for x in (float("inf"), 1.0, -1e300)], wait=True)
    assert [letter.reason for letter in store.dead_letters("f")] == ["x is infinite or beyond 2**62"] * 2
    features = FeatureVector("v", ["f:*"], event_time="ts")
    assert store.get_online_features(features, [{"k": "a", "ts": NOON}])["f__x_sum_1h"].to_list() == [1.0]


def test_a_wrong_column_writes_nothing(store: FeatureStore) -> None:
    feature_set = cards()
    store.apply(feature_set)
    with pytest.raises(InputError, match=r"cards: column 'amount' must be float64, got String \(for example 'much'\)"):
        store.ingest(feature_set, pl.DataFrame({"card": ["c"], "ts": [NOON], "amount": ["much"]}))
    with pytest.raises(InputError, match="column 'amount' is missing"):
        store.push(feature_set, [{"card": "c", "ts": NOON}])
    with pytest.raises(InputError, match="holds 'noon', not a time like"):
        store.push(feature_set, [{"card": "c", "ts": "noon", "amount": 1.0}])
    assert store._offline.version(store.get("cards").full_name) == -1


def test_files_are_read_by_their_ending(store: FeatureStore, tmp_path: Path) -> None:
    feature_set = cards()
    store.apply(feature_set)
    history(4).write_parquet(tmp_path / "h.parquet")
    history(4).with_columns(pl.col("ts").dt.to_string("iso:strict")).write_csv(tmp_path / "h.csv")
    assert store.ingest(feature_set, tmp_path / "h.parquet") == 4
    assert store.ingest(feature_set, str(tmp_path / "h.csv")) == 4
    with pytest.raises(InputError, match="cannot tell the format"):
        store.ingest(feature_set, tmp_path / "h.xls")
    with pytest.raises(InputError, match="cannot read"):
        store.ingest(feature_set, tmp_path / "none.parquet")


def test_versions_follow_content(store: FeatureStore) -> None:
    assert [store.apply(cards()).version for _ in range(2)] == [1, 1]
    changed = FeatureSet("cards", [Entity("card")], "ts", {"amount": "float64"}, [Aggregate("amount", ["sum"], ["1h"])])
    with pytest.raises(DefinitionError, match="has changed since version 1"):
        store.ingest(changed, history(1))
    assert store.apply(changed).version == 2
    assert store.apply(cards()).version == 1
    assert [(s.name, s.version) for s in store.feature_sets()] == [("cards", 1)]


def test_unknown_names_get_a_suggestion(store: FeatureStore) -> None:
    store.apply(cards())
    with pytest.raises(FeatureSetNotFound, match="did you mean 'cards'"):
        store.vector_reader(FeatureVector("v", ["card:amount_sum_1h"]))
    with pytest.raises(FeatureNotFound, match=r"no feature 'amount_sum_2h' in cards:v1; did you mean 'amount_sum_1h'"):
        store.vector_reader(FeatureVector("v", ["cards:amount_sum_2h"]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ts": NOON, "amount": 1.0}, "the request lacks 'card'"),
        ({"card": 7, "ts": NOON, "amount": 1.0}, "'card' must be string, got 7"),
        ({"card": "c", "amount": 1.0}, "ts must be a time"),
        ({"card": "c", "ts": "yesterday", "amount": 1.0}, "ts must be a time like"),
        ({"card": "c", "ts": NOON, "amount": "1"}, "'amount' must be float64, got '1'"),
        ({"card": "c", "ts": NOON}, "the request lacks 'amount'"),
    ],
)
def test_a_request_that_does_not_fit_names_its_field(store: FeatureStore, row: dict[str, object], message: str) -> None:
    store.apply(cards())
    with pytest.raises(InputError, match=message):
        store.vector_reader(vector()).read([row])


def test_text_is_no_number(store: FeatureStore) -> None:
    people = FeatureSet("people", [Entity("id", "int64")], "ts", {"city": "string"})
    store.apply(people)
    store.push(people, [{"id": 1, "ts": NOON, "city": "Zürich"}], wait=True)
    reader = store.vector_reader(FeatureVector("v", ["people:city"]))
    assert reader.frame([{"id": 1}])["people__city"].to_list() == ["Zürich"]
    with pytest.raises(DefinitionError, match="'people__city' is string"):
        reader.read([{"id": 1}])


def test_a_store_travels_by_its_settings(store: FeatureStore) -> None:
    store.apply(cards())
    arrived = cloudpickle.loads(cloudpickle.dumps(store))
    assert arrived.get("cards").version == 1
    arrived.close()


def test_an_unreachable_server_is_one_clear_line(tmp_path: Path) -> None:
    store = FeatureStore(Settings(home=tmp_path, redis_url="redis://user:secret@127.0.0.1:1/0"))
    feature_set = cards()
    store.apply(feature_set)
    with pytest.raises(ServerUnavailable, match="EAGLERAY_REDIS_URL") as caught:
        store.push(feature_set, history(1))
    assert "secret" not in str(caught.value)
    store.close()


def test_a_vector_is_compiled_again_when_it_or_a_version_changes(store: FeatureStore) -> None:
    feature_set = cards()
    store.apply(feature_set)
    store.push(feature_set, history(1), wait=True)
    features = FeatureVector("v", ["cards:amount_sum_1d"], event_time="ts")
    asked = [{"card": "c0", "ts": NOON + timedelta(hours=1)}]
    reader = store.vector_reader(features)
    assert store.vector_reader(features) is reader

    @features.on_demand("twice")
    def twice(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(twice=pl.col("cards__amount_sum_1d") * 2)

    assert store.get_online_features(features, asked).names == ("cards__amount_sum_1d", "twice")
    changed = FeatureSet("cards", [Entity("card")], "ts", {"amount": "float64"}, [Aggregate("amount", ["sum"], ["1d"])])
    store.apply(changed)
    store.push(changed, [{"card": "c0", "ts": NOON, "amount": 41.0}], wait=True)
    assert store.get_online_features(features, asked).to_rows() == [{"cards__amount_sum_1d": 41.0, "twice": 82.0}]
