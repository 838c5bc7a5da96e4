"""Bounded samples: the right rows, the same whatever the blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pytest

from eagleray.functions.training.blocks import Blocks, of_frame, of_lazy
from eagleray.functions.training.sample import Plan, take
from eagleray.runtime.errors import InputError

ROWS = 20_000
PLAN = Plan(memory_bytes=640_000, label="y")


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    made = pl.DataFrame({"row": np.arange(ROWS), "x": rng.normal(size=ROWS), "who": rng.integers(0, 800, ROWS)})
    return made.with_columns(
        y=pl.Series((rng.random(ROWS) < 0.03).astype(np.int64)), judges=pl.Series(rng.random(ROWS) < 0.25),
    )  # fmt: skip


def in_blocks(table: pl.DataFrame, rows: int) -> Blocks:
    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        return table.select(columns).iter_slices(rows)

    return Blocks(tuple(table.columns), read, "a test's rows")


def test_what_fits_is_taken_as_it_is(table: pl.DataFrame) -> None:
    found = take(in_blocks(table, 999), Plan(memory_bytes=10_000_000, label="y"))
    assert found.table.equals(table)
    assert (found.rows, found.all_rows) == (ROWS, None)
    assert take(of_lazy(table.lazy(), "lazy"), Plan(10_000_000, "y")).table.equals(table)


def test_each_class_has_its_share_within_the_bound(table: pl.DataFrame) -> None:
    found = take(in_blocks(table, 1000), PLAN)
    assert found.rows == ROWS
    assert found.all_rows is not None
    assert 0.98 * PLAN.memory_bytes < 4 * found.table.estimated_size() <= PLAN.memory_bytes
    assert found.table.columns == table.columns
    assert found.table["row"].n_unique() == found.table.height
    share = found.table.height / ROWS
    assert found.table["y"].sum() == int(share * table.filter(pl.col("y") == 1).height)
    known = table.join(found.table, on=table.columns, how="semi")
    assert known.height == found.table.height


def test_the_sample_is_the_smallest_hashes_whatever_the_blocks(table: pl.DataFrame) -> None:
    one = take(in_blocks(table, 1000), PLAN).table
    for other in (in_blocks(table.sample(fraction=1.0, shuffle=True, seed=3), 777), of_frame(table)):
        assert take(other, PLAN).table.equals(one)
    # The naive way: all rows of a class by their hash.
    hashed = table.with_columns(table.hash_rows(PLAN.seed).alias("hash")).sort("hash")
    for label in (0, 1):
        some = one.filter(pl.col("y") == label)
        assert some["row"].to_list() == hashed.filter(pl.col("y") == label).head(some.height)["row"].to_list()
    assert not take(in_blocks(table, 1000), Plan(640_000, "y", seed=1)).table.equals(one)


def test_sides_of_a_validation_column_keep_their_shares(table: pl.DataFrame) -> None:
    found = take(in_blocks(table, 1000), Plan(640_000, "y", marks="judges")).table
    assert found["judges"].mean() == pytest.approx(table["judges"].mean(), abs=0.001)


def test_groups_are_taken_whole(table: pl.DataFrame) -> None:
    found = take(in_blocks(table, 1000), Plan(640_000, "y", groups="who")).table
    assert 0.9 * 160_000 < found.estimated_size() <= 160_000
    sizes, whole = found["who"].value_counts().sort("who"), table["who"].value_counts()
    assert sizes.equals(whole.filter(pl.col("who").is_in(found["who"].unique().to_list())).sort("who"))
    again = take(in_blocks(table.reverse(), 333), Plan(640_000, "y", groups="who")).table
    assert again.equals(found)


def test_a_label_of_many_values_is_sampled_by_its_rows(table: pl.DataFrame) -> None:
    found = take(in_blocks(table, 1000), Plan(640_000, "x"))
    assert found.how == "by the hash of a row"
    assert found.table["x"].mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan(640_000, "z"), "no column 'z'"),
        (Plan(100, "y"), r"memory_bytes holds 0 rows of 40 bytes, too few to search over: give at least 161,\d+"),
        (Plan(640_000, "y", groups="side"), "memory_bytes holds .* 0 of the 2 groups of 'side': give more"),
        (Plan(640_000, "gaps"), "label 'gaps' is unknown in 20 rows"),
        (Plan(640_000, "y", groups="gaps"), "groups 'gaps' has nulls"),
    ],
)
def test_what_cannot_be_sampled_says_why(table: pl.DataFrame, plan: Plan, says: str) -> None:
    odd = table.with_columns(
        side=pl.col("row") < 4000, gaps=pl.when(pl.col("row") % 1000 > 0).then(pl.col("x"))
    )  # fmt: skip
    with pytest.raises(InputError, match=says):
        take(in_blocks(odd, 1000), plan)
