"""A label that a feature set holds: the newest value, or what became of the row so long after it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import DefinitionError, FeatureNotFound, InputError
from eagleray.runtime.settings import Settings

from ..bench import same_bits

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AFTER = 2 * DAY
ORDERS = FeatureSet(
    "orders",
    [Entity("card")],
    "ts",
    {"amount": "float64"},
    [Aggregate("amount", ["sum", "count"], ["2d"])],
    features=["amount"],
)
FRAUDS = FeatureSet("frauds", [Entity("order_no", "int64")], "known", {"is_fraud": "bool"}, ttl="1d")
VECTOR = FeatureVector("v", ["orders:amount_sum_2d"], event_time="ts")


def vector(label: str, after: str | None = None) -> FeatureVector:
    return FeatureVector("v", ["orders:amount_sum_2d"], event_time="ts", label=label, label_after=after)


@pytest.fixture(scope="module")
def store(valkey: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    """Ten days of orders, and what is known of some of them: `is_fraud` may turn out twice."""
    folder = tmp_path_factory.mktemp("labels")
    catalog = f"sqlite:///{folder / 'catalog.db'}"
    with FeatureStore(Settings(home=valkey.home, offline_uri=str(folder / "offline"), catalog_url=catalog)) as opened:
        opened.apply(ORDERS)
        opened.apply(FRAUDS)
        opened.ingest(ORDERS, orders())
        opened.ingest(FRAUDS, frauds())
        yield opened


def orders() -> pl.DataFrame:
    draw = np.random.default_rng(3)
    minutes = np.sort(draw.integers(0, 10 * 1440, 300))
    return pl.DataFrame(
        {
            "order_no": np.arange(300),
            "card": [f"c{key}" for key in draw.integers(0, 6, 300)],
            "ts": [NOON + timedelta(minutes=int(minute)) for minute in minutes],
            "amount": draw.integers(1, 100, 300).astype(float),
        }
    )


def frauds() -> pl.DataFrame:
    """Every third order is judged a day later, every ninth of all again three days later, the other way round."""
    judged = orders().filter(pl.col("order_no") % 3 == 0)
    first = judged.select("order_no", known=pl.col("ts") + DAY, is_fraud=pl.col("order_no") % 2 == 0)
    again = first.filter(pl.col("order_no") % 9 == 0)
    again = again.select("order_no", known=pl.col("known") + 2 * DAY, is_fraud=~pl.col("is_fraud"))
    return pl.concat([first, again])


def asked() -> pl.DataFrame:
    return orders().select("order_no", "card", "ts")


def test_the_newest_value_is_read_whenever_it_became_known(store: FeatureStore) -> None:
    made = store.get_historical_features(vector("frauds:is_fraud"), asked())
    newest = frauds().sort("known").group_by("order_no", maintain_order=True).last().select("order_no", "is_fraud")
    wanted = asked().join(newest, on="order_no", how="left", maintain_order="left")["is_fraud"].to_list()
    assert made.to_polars()["is_fraud"].to_list() == wanted
    assert {True, False, None} == set(wanted)
    assert made.label == "is_fraud"
    assert made.feature_names == ("orders__amount_sum_2d",)
    assert set(made.pins) == {"orders.v1", "frauds.v1"}


def test_a_label_after_a_time_is_what_was_known_by_then(store: FeatureStore) -> None:
    made = store.get_historical_features(vector("frauds:is_fraud", "2d"), asked()).to_polars()
    until, known = frauds()["known"].max(), frauds().sort("known").rows(named=True)
    for row, found in zip(asked().rows(named=True), made["is_fraud"].to_list(), strict=True):
        then = row["ts"] + AFTER
        seen = [one["is_fraud"] for one in known if one["order_no"] == row["order_no"] and one["known"] < then]
        assert found == (seen[-1] if seen and then <= until else None)


def test_a_window_looks_ahead_and_is_null_until_it_has_passed(store: FeatureStore) -> None:
    made = store.get_historical_features(vector("orders:amount_count_2d", "2d"), asked()).to_polars()
    events = orders().rows(named=True)
    until = max(event["ts"] for event in events)
    found = made["amount_count_2d"].to_list()
    for row, count in zip(asked().rows(named=True), found, strict=True):
        end = row["ts"] + AFTER
        if end > until:
            assert count is None
            continue
        inside = [one for one in events if one["card"] == row["card"] and row["ts"] <= one["ts"] < end]
        before = [one for one in events if one["card"] == row["card"] and row["ts"] - DAY / 2 <= one["ts"] < row["ts"]]
        assert len(inside) <= count <= len(inside) + len(before)  # a window's tail is rounded to a tile
    assert found.count(None) == sum(row["ts"] + AFTER > until for row in asked().rows(named=True)) > 0


def test_what_the_label_says_does_not_depend_on_the_clock_of_knowledge_or_on_later_events(store: FeatureStore) -> None:
    first = store.get_historical_features(vector("frauds:is_fraud"), asked())
    by_knowledge = store.get_historical_features(vector("frauds:is_fraud"), asked(), as_of="knowledge").to_polars()
    assert by_knowledge["is_fraud"].equals(first.to_polars()["is_fraud"])
    late = pl.DataFrame({"order_no": [1], "known": [NOON + 30 * DAY], "is_fraud": [True]})
    store.ingest(FRAUDS, late)
    assert store.get_historical_features(vector("frauds:is_fraud"), asked()).to_polars()["is_fraud"][1] is True
    again = store.get_historical_features(vector("frauds:is_fraud"), asked(), pins=first.pins)
    assert same_bits(again.to_polars(), first.to_polars())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_on_ray_it_is_the_same_to_the_bit(store: FeatureStore, ray_cluster: Settings) -> None:
    for label, after in (("frauds:is_fraud", None), ("frauds:is_fraud", "2d"), ("orders:amount_sum_2d", "2d")):
        wanted = vector(label, after)  # the last one: the sum of the next two days, beside that of the two before
        here = store.get_historical_features(wanted, asked(), engine="local")
        there = store.get_historical_features(wanted, asked(), engine="ray")
        assert same_bits(there.to_polars(), here.to_polars())
        assert (there.label, there.feature_names) == (here.label, here.feature_names)
        assert there.label_after == here.label_after == after


def test_labels_that_cannot_be_are_refused(store: FeatureStore) -> None:
    with pytest.raises(DefinitionError, match="is the label, so it is no feature"):
        FeatureVector("v", ["frauds:is_fraud"], event_time="ts", label="frauds:is_fraud")
    with pytest.raises(DefinitionError, match="label_after is for a label of a set"):
        FeatureVector("v", ["orders:amount"], event_time="ts", label="is_fraud", label_after="7d")
    with pytest.raises(DefinitionError, match="soon"):
        vector("frauds:is_fraud", "soon")
    with pytest.raises(DefinitionError, match="in the request, too"):
        FeatureVector("v", [], {"is_fraud": "bool"}, "ts", label="frauds:is_fraud")
    with pytest.raises(DefinitionError, match="label_after='7d'"):
        store.get_historical_features(vector("orders:amount_count_2d"), asked())
    every = FeatureVector("v", ["frauds:*"], event_time="ts", label="frauds:is_fraud")
    with pytest.raises(DefinitionError, match=r"'frauds:\*' reads the label 'frauds:is_fraud', too"):
        store.get_historical_features(every, asked())
    with pytest.raises(FeatureNotFound, match="did you mean 'is_fraud'"):
        store.get_historical_features(vector("frauds:is_fruad"), asked())
    with pytest.raises(InputError, match="stands beside the keys"):
        store.get_historical_features(vector("frauds:is_fraud"), asked().with_columns(is_fraud=True))
    with pytest.raises(InputError, match="order_no"):
        store.get_historical_features(vector("frauds:is_fraud"), asked().drop("order_no"))
