"""Training sets joined on Ray in many small parts: the same rows in the same order, the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.wanted import resolve
from eagleray.featurestore.offline.engine_choice import bytes_needed, chosen
from eagleray.featurestore.offline.pins import Cut
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

from ..bench import same_bits

# Ray Data warns of its own defaults, and of what it means to change.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
HOUR_US = 3_600_000_000
CARDS = FeatureSet(
    "cards",
    [Entity("card")],
    "ts",
    {"amount": "float64", "shop": "string"},
    [Aggregate("amount", ["count", "avg", "stddev", "max", "last_2"], ["10m", "1h"])],
    features=["amount", "shop"],
)
SHOPS = FeatureSet("shops", [Entity("shop_no", "int64"), Entity("town")], "ts", {"open": "bool"}, ttl="30m")
EMPTY = FeatureSet("empty", [Entity("card")], "ts", {"x": "float64"}, [Aggregate("x", ["sum"], ["1h"])])
VECTOR = FeatureVector("v", ["cards:*", "shops:open", "empty:*"], request={"price": "float64"}, event_time="at")


@VECTOR.on_demand("over")
def over(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(over=pl.col("price") / pl.col("cards__amount_max_1h"))


@pytest.fixture(scope="module")
def store(
    valkey: Settings, ray_cluster: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FeatureStore, int]]:
    """A store with some thousand events, and the moment they begin."""
    folder = tmp_path_factory.mktemp("ray-join")
    settings = Settings(
        home=valkey.home, offline_uri=str(folder / "offline"), catalog_url=f"sqlite:///{folder / 'catalog.db'}"
    )
    rng = np.random.default_rng(1)
    begin_us = time.time_ns() // 1000 - 3 * HOUR_US
    with FeatureStore(settings) as opened:
        for feature_set in (CARDS, SHOPS, EMPTY):
            opened.apply(feature_set)
        for _ in range(3):
            n = 400
            cards = pl.DataFrame(
                {
                    "card": [f"c{key}" for key in rng.integers(0, 30, n)],
                    "ts": begin_us + rng.integers(0, 2 * HOUR_US, n),
                    "amount": rng.normal(size=n),
                    "shop": rng.choice(["a", "é", ""], n),
                }
            )
            opened.ingest(CARDS, cards)
            shops = cards.select(
                pl.Series("shop_no", rng.integers(0, 3, n)),
                pl.col("shop").alias("town"),
                pl.col("ts"),
                pl.Series("open", rng.random(n) < 0.5),
            )
            opened.ingest(SHOPS, shops)
        yield opened, begin_us


def labels(begin_us: int, n: int = 500) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    return pl.DataFrame(
        {
            "card": [f"c{key}" for key in rng.integers(0, 40, n)],
            "town": rng.choice(["a", "é", "none"], n),
            "shop_no": rng.integers(0, 4, n),
            "at": pl.Series(begin_us + rng.integers(-HOUR_US, 4 * HOUR_US, n)).cast(pl.Datetime("us", "UTC")),
            "price": [None if price < 0.1 else price for price in rng.random(n).tolist()],
            "is_fraud": rng.random(n) < 0.1,
        }
    )


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of rows a part instead of a million."""
    from eagleray.featurestore.offline import ray_training_set

    built = ray_training_set.build_on_ray
    monkeypatch.setattr(ray_training_set, "build_on_ray", lambda *a, **k: built(*a, **k, rows_a_part=300))


@pytest.mark.parametrize("as_of", ["event", "knowledge"])
@pytest.mark.usefixtures("small_parts")
def test_the_same_bits_in_the_order_of_the_labels(store: tuple[FeatureStore, int], as_of: str, tmp_path: Path) -> None:
    opened, begin_us = store
    asked = labels(begin_us)
    local = opened.get_historical_features(VECTOR, asked, as_of=as_of, engine="local")  # type: ignore[arg-type]
    on_ray = opened.get_historical_features(VECTOR, asked, as_of=as_of, engine="ray")  # type: ignore[arg-type]
    assert (on_ray.feature_names, on_ray.pins) == (local.feature_names, local.pins)
    assert same_bits(on_ray.to_polars(), local.to_polars())
    if as_of == "knowledge":
        return
    path = tmp_path / "labels.parquet"
    asked.write_parquet(path)
    from_file = opened.get_historical_features(VECTOR, path, pins=local.pins)
    assert same_bits(from_file.to_polars(), local.to_polars())
    dataset = opened.get_historical_features(VECTOR, local.to_ray().select_columns(asked.columns)).to_ray()
    assert dataset.count() == asked.height
    rows = pl.concat([pl.from_arrow(block) for block in dataset.iter_batches(batch_format="pyarrow")])  # type: ignore[type-var]
    assert isinstance(rows, pl.DataFrame)
    assert same_bits(rows.select(local.feature_names), local.to_polars().select(local.feature_names))


@pytest.mark.usefixtures("small_parts")
def test_no_labels_and_wrong_ones(store: tuple[FeatureStore, int], tmp_path: Path) -> None:
    opened, begin_us = store
    none = opened.get_historical_features(VECTOR, labels(begin_us)[:0], engine="ray")
    assert none.to_polars().height == 0
    with pytest.raises(InputError, match="column 'town' is missing"):
        opened.get_historical_features(VECTOR, labels(begin_us).drop("town"), engine="ray")
    with pytest.raises(InputError, match="cannot read the labels"):
        opened.get_historical_features(VECTOR, tmp_path / "none.parquet")


def test_the_forms_of_a_training_set(store: tuple[FeatureStore, int]) -> None:
    opened, begin_us = store
    made = opened.get_historical_features(VECTOR, labels(begin_us, 5))
    assert list(made.to_dict()) == made.to_polars().columns
    assert made.to_ray().count() == made.to_arrow().num_rows == len(made.to_pandas()) == 5


def test_the_engine_is_chosen_by_size(store: tuple[FeatureStore, int], monkeypatch: pytest.MonkeyPatch) -> None:
    opened, begin_us = store
    asked, wanted = labels(begin_us), resolve(VECTOR, opened.get)
    cuts = {item.applied.label: Cut(0, {0: 10**6 - 1}) for item in wanted}
    assert bytes_needed(asked, wanted=wanted, cuts=cuts) > 10**6 * 8 * 7
    assert chosen(None, asked, wanted=wanted, cuts=cuts) == "local"
    monkeypatch.setattr("eagleray.featurestore.offline.engine_choice.available_bytes", lambda: 100 << 20)
    assert chosen(None, asked, wanted=wanted, cuts=cuts) == "ray"
    assert chosen("local", asked, wanted=wanted, cuts=cuts) == "local"
    with pytest.raises(InputError, match="read the labels first"):
        chosen("local", "labels.parquet", wanted=wanted, cuts=cuts)
    with pytest.raises(InputError, match="engine='rai'; did you mean 'ray'"):
        chosen("rai", asked, wanted=wanted, cuts=cuts)
