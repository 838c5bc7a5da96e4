"""A graph over Ray Datasets and files."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import ray.data

from eagleray.graphs.graph import Graph
from eagleray.runtime.settings import Settings

from ..parts import LinearModel, fraud_graph

# Ray Data's own: it copies settings of its own that it deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
MODEL = LinearModel(features=("x",), weights=(0.01,))


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(x=pl.col("x") * 2)


def scoring() -> Graph:
    g = Graph("scoring")
    return g.to(doubled).to(g.predict(MODEL)).respond("card_id")


@pytest.fixture
def rows(tmp_path: Path) -> pl.DataFrame:
    frame = pl.DataFrame({"card_id": [str(n % 9) for n in range(5000)], "x": range(5000), "amount": [1.0] * 5000})
    for place in range(4):
        frame[place * 1250 : (place + 1) * 1250].write_parquet(tmp_path / f"part-{place}.parquet")
    return frame


def test_a_dataset_and_files_are_answered_like_a_frame(ray_cluster: Settings, rows, tmp_path):
    expected = scoring().map(rows)
    dataset = ray.data.from_arrow(rows.to_arrow()).repartition(3)
    for given in (dataset, tmp_path, str(tmp_path / "part-0.parquet")):
        found = scoring().map(given, settings=ray_cluster, batch_rows=700, workers=1)
        answers = pl.DataFrame(pl.from_arrow(pa.concat_tables(ray.get(found.to_arrow_refs()))))
        assert answers.columns == ["score", "card_id"]
        wanted = expected if given in (dataset, tmp_path) else expected[:1250]
        by = ["score", "card_id"]  # many scores are equal, being 1 to the last bit
        assert answers.sort(by).equals(wanted.sort(by))


def test_errors_of_rows_stand_in_their_column_or_end_it(ray_cluster: Settings, rows):
    bad = rows.with_columns(amount=pl.when(pl.col("x") == 77).then(-1.0).otherwise(pl.col("amount")))
    dataset = ray.data.from_arrow(bad.to_arrow())
    found = fraud_graph().map(dataset, settings=ray_cluster, errors="column", workers=1)
    told = [row["error"] for row in found.take_all() if row["error"] is not None]
    assert told == ["positive: InputError: 'amount' must be above 0"]
    with pytest.raises(Exception, match="in step 'positive' of 'fraud'"):
        fraud_graph().map(dataset, settings=ray_cluster, workers=1).count()
