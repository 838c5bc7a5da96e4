"""Tables in all their forms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from eagleray.functions.automl import AutoMLOptions, fit
from eagleray.functions.fitting.table_input import bound_bytes, check_label_window, opened, taken
from eagleray.functions.training.blocks import Blocks
from eagleray.functions.training.sample import Plan
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

PLAN = Plan(memory_bytes=1_000_000, label="clicked")


@dataclass
class Training:
    frame: pl.DataFrame
    label_after: str | None = None

    def to_polars(self) -> pl.DataFrame:
        return self.frame


def test_whatever_holds_the_rows_they_are_the_same(clicks: pl.DataFrame, tmp_path: Path) -> None:
    half = clicks.height // 2
    clicks.head(half).write_parquet(tmp_path / "1.parquet")
    clicks.tail(half).write_parquet(tmp_path / "2.parquet")
    forms = (
        clicks, clicks.lazy(), clicks.to_pandas(), clicks.to_arrow(), clicks.to_dicts(),
        clicks.to_dict(as_series=False), Training(clicks), tmp_path, str(tmp_path / "*.parquet"),
    )  # fmt: skip
    for form in forms:
        found = taken(opened(form), PLAN)
        assert (found.rows, found.all_rows) == (2000, None)
        assert found.table.with_columns(pl.col("at").cast(pl.Datetime("us"))).equals(clicks), type(form)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_ray_dataset_is_read_in_its_order(ray_cluster: Settings, clicks: pl.DataFrame) -> None:
    import ray.data

    dataset = ray.data.from_arrow(clicks.to_arrow(compat_level=pl.CompatLevel.oldest())).repartition(7)
    source = opened(dataset)
    assert isinstance(source, Blocks)
    found = taken(source, PLAN)
    assert found.table.equals(clicks)
    small = Plan(memory_bytes=240_000, label="clicked")
    sample = taken(source, small)
    assert sample.all_rows is source
    assert sample.table.equals(taken(clicks, small).table)  # the same rows, whoever holds them


def test_a_frame_above_the_bound_is_sampled_too(clicks: pl.DataFrame) -> None:
    found = taken(clicks, Plan(memory_bytes=320_000, label="clicked"))
    assert 1000 < found.table.height < 2000
    assert found.table.estimated_size() <= 80_000
    assert found.all_rows is not None


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (7, "cannot train on builtins.int: give a Polars, pandas or Arrow frame"),
        (None, "cannot train on builtins.NoneType"),
        ([1, 2], "cannot train on builtins.list"),
        ("nothing.parquet", "cannot read 'nothing.parquet' as Parquet"),
        (Path(__file__), "as Parquet"),
        (pd.DataFrame(np.zeros((3, 4)), columns=["a", "b", "a", "y"]), "several columns 'a': rename or drop some"),
        (pd.DataFrame({"a": [1, "x"]}), "the table mixes types: .*; give each column one"),
    ],
)
def test_what_is_no_table_says_so(table, says: str) -> None:
    with pytest.raises(InputError, match=says):
        opened(table)


def test_the_bound_is_a_share_of_the_free_memory_or_what_was_asked() -> None:
    assert bound_bytes(5) == 5
    assert bound_bytes(None) > 1_000_000
    with pytest.raises(InputError, match="memory_bytes is 0: give the bytes"):
        bound_bytes(0)


def test_a_label_that_is_known_later_asks_for_a_gap_as_long(clicks: pl.DataFrame) -> None:
    late = Training(clicks, label_after="7d")
    for gap in ("", "6d", timedelta(days=6)):
        with pytest.raises(InputError, match=r"the label is known 7d after its row.*give options.validation_gap='7d'"):
            check_label_window(late, time_column="at", gap=gap)
    with pytest.raises(InputError, match="validation_gap='7d'"):
        fit(late, label="clicked", time_column="at", options=AutoMLOptions(ignore=["who"]))
    check_label_window(late, time_column="at", gap="168h")
    check_label_window(late, time_column=None, gap="")
    check_label_window(Training(clicks), time_column="at", gap="")
