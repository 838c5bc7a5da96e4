"""Divisions of tables, and what is refused because it leaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from eagleray.functions.evaluation.leakage import check_label_copies, check_row_copies, telling_alone
from eagleray.functions.evaluation.splits import Division, Split, divide, folds
from eagleray.runtime.errors import DefinitionError, InputError


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """1,000 rows over ten days, 40 groups of unequal sizes, a tenth positive."""
    rng = np.random.default_rng(4)
    return pl.DataFrame(
        {
            "x": rng.normal(size=1000),
            "who": [f"u{int(i)}" for i in 40 * rng.random(1000) ** 2],
            "label": (rng.random(1000) < 0.1).astype(float),
        }
    ).with_columns(at=pl.datetime(2026, 1, 1) + pl.duration(minutes=pl.int_range(pl.len()).shuffle(3) * 14.4))


def parts(table: pl.DataFrame, split: Split) -> Division:
    return divide(table, table["label"].to_numpy(), "classification", split)


def groups(table: pl.DataFrame, rows: np.ndarray) -> set[str]:
    return set(table["who"].gather(rows))


@pytest.mark.parametrize("test_fraction", [0.0, 0.1])
@pytest.mark.parametrize(
    "split", [Split(), Split(groups="who"), Split(time_column="at"), Split(time_column="at", gap="1d")]
)
def test_every_row_has_one_place(table: pl.DataFrame, split: Split, test_fraction: float) -> None:
    made = parts(table, replace(split, test_fraction=test_fraction))
    rows = np.concatenate((made.teaches, made.judges, made.tests, made.gaps))
    assert np.array_equal(np.sort(rows), np.arange(1000))
    assert len(made.tests) == pytest.approx(1000 * test_fraction, abs=40)
    assert len(made.judges) == pytest.approx(200, abs=50)
    assert bool(len(made.gaps)) == bool(split.gap)


def test_a_gap_lies_before_the_judged_and_the_held_out_rows(table: pl.DataFrame) -> None:
    made = parts(table, Split(time_column="at", gap=timedelta(hours=12), test_fraction=0.2))
    at = table["at"].cast(pl.Int64).to_numpy() / 3_600_000_000
    assert at[made.judges].min() - at[made.teaches].max() > 12
    assert at[made.tests].min() - at[made.judges].max() > 12
    assert len(made.gaps) == pytest.approx(100, abs=3)


def test_groups_stay_whole_and_classes_in_proportion(table: pl.DataFrame) -> None:
    made = parts(table, Split(groups="who", test_fraction=0.2))
    sides = [groups(table, rows) for rows in (made.teaches, made.judges, made.tests)]
    assert len(set.union(*sides)) == sum(len(side) for side in sides)
    for rows in (made.teaches, made.judges, made.tests):
        assert table["label"].gather(rows).mean() == pytest.approx(0.1, abs=0.03)


def test_very_many_groups_are_divided_all_the_same() -> None:
    many = pl.DataFrame({"who": np.repeat(np.arange(30_000), 2), "label": np.arange(60_000) % 10 == 0})
    made = divide(many, many["label"].cast(pl.Float64).to_numpy(), "classification", Split(groups="who"))
    assert not set(many["who"].gather(made.teaches)) & set(many["who"].gather(made.judges))
    assert many["label"].gather(made.judges).mean() == pytest.approx(0.1, abs=0.005)
    assert len(made.judges) == pytest.approx(12_000, abs=10)


@pytest.mark.parametrize("split", [Split(), Split(groups="who")])
def test_folds_hold_out_every_row_once(table: pl.DataFrame, split: Split) -> None:
    made = folds(table, table["label"].to_numpy(), "classification", split, 5)
    assert np.array_equal(np.sort(np.concatenate([held for _, held in made])), np.arange(1000))
    for known, held in made:
        assert len(np.intersect1d(known, held)) == 0
        assert len(held) == pytest.approx(200, abs=40)
        assert table["label"].gather(held).mean() == pytest.approx(0.1, abs=0.03)
        assert not (split.groups and groups(table, known) & groups(table, held))


def test_folds_by_time_know_only_what_came_before(table: pl.DataFrame) -> None:
    made = folds(table, table["label"].to_numpy(), "classification", Split(time_column="at", gap="6h"), 4)
    assert len(made) == 4
    at = table["at"].cast(pl.Int64).to_numpy() / 3_600_000_000
    for known, held in made:
        assert at[held].min() - at[known].max() > 6
        assert len(held) == pytest.approx(200, abs=2)


@pytest.mark.parametrize(
    ("split", "error", "says"),
    [
        (Split(test_fraction=1.5), InputError, "test_fraction is 1.5"),
        (Split(column="even", test_fraction=0.1), InputError, "do not go together"),
        (
            Split(column="even", time_column="at"),
            InputError,
            "are not before the first row to judge by: the model would",
        ),
        (Split(column="even", groups="who"), InputError, r"groups of 'who' \(e.g. 'u\d+'\) are on both sides"),
        (Split(column="late", time_column="at", gap="2d"), InputError, "less the gap of 2d"),
        (Split(groups="holes"), InputError, "groups 'holes' has 500 nulls"),
        (Split(groups="lists"), InputError, r"groups 'lists' is List\(String\): turn it into texts"),
        (Split(time_column="who"), InputError, "time_column 'who' is String: turn it into a date"),
        (Split(time_column="x", gap="1d"), InputError, "a gap needs a time_column of dates"),
        (Split(time_column="at", gap="soon"), DefinitionError, "cannot read the duration 'soon'"),
    ],
)
def test_a_split_that_leaks_or_cannot_be_made_says_so(
    table: pl.DataFrame, split: Split, error: type[Exception], says: str
) -> None:
    even = pl.int_range(pl.len()) % 2 == 0
    odd = table.with_columns(
        even=even,
        lists=pl.concat_list("who"),
        late=pl.col("at") > pl.datetime(2026, 1, 8),
        holes=pl.when(even).then(pl.col("who")),
    )
    with pytest.raises(error, match=says):
        parts(odd, split)


def test_a_validation_column_that_keeps_time_and_groups_apart_is_taken(table: pl.DataFrame) -> None:
    day = pl.col("at").dt.day()
    marked = table.with_columns(late=pl.when(day > 8).then(True).when(day < 7).then(False))
    made = parts(marked, Split(column="late", time_column="at", gap="1d"))
    assert len(made.teaches) + len(made.judges) == 800
    by_group = table.with_columns(mine=pl.col("who").is_in(["u1", "u2"]))
    assert len(parts(by_group, Split(column="mine", groups="who")).judges) > 10


@pytest.mark.parametrize(
    ("copy", "leaks"),
    [
        (pl.col("label"), True),
        (1 - pl.col("label") * 3, True),
        (pl.col("label").cast(pl.Boolean), True),
        (pl.when(pl.col("label") == 1).then(5.0), True),  # null where it is 0
        (pl.when(pl.col("x") > 1).then(0).otherwise(pl.col("label")), False),  # not the same in a few rows
        (pl.col("x") + 100 * pl.col("label"), False),  # tells the label, and more
    ],
)
def test_an_image_of_a_class_label_is_refused(table: pl.DataFrame, copy: pl.Expr, leaks: bool) -> None:
    odd = table.with_columns(copy=copy)
    y = table["label"].to_numpy()
    if leaks:
        with pytest.raises(InputError, match="'copy' is the label in another form"):
            check_label_copies(odd, ["x", "copy"], y, "classification")
    else:
        check_label_copies(odd, ["x", "copy"], y, "classification")


def test_a_rare_class_does_not_hide_a_copy() -> None:
    y = np.zeros(100_000)
    y[77_777] = 1
    with pytest.raises(InputError, match="'copy' is the label"):
        check_label_copies(pl.DataFrame({"copy": y}), ["copy"], y, "classification")


@pytest.mark.parametrize(
    ("image", "leaks"),
    [
        (lambda y, e: np.exp(y), True),
        (lambda y, e: -y, True),
        (lambda y, e: np.round(y, 3), True),
        (lambda y, e: y + 0.1 * e, False),
        (lambda y, e: (y > 0).astype(float), False),  # a coarse image may be a feature
        (lambda y, e: np.ones(len(y)), False),
    ],
)
def test_a_monotone_image_of_a_number_is_refused(image, leaks: bool) -> None:
    rng = np.random.default_rng(1)
    y, noise = rng.normal(size=(2, 2000))
    odd = pl.DataFrame({"copy": image(y, noise)})
    if leaks:
        with pytest.raises(InputError, match="drop or ignore it"):
            check_label_copies(odd, ["copy"], y.astype(np.float32), "regression")
    else:
        check_label_copies(odd, ["copy"], y.astype(np.float32), "regression")


def test_copies_of_rows_across_the_split_are_refused(table: pl.DataFrame) -> None:
    doubled = pl.concat([table, table.head(30)])
    halves = Division(np.arange(1000), np.arange(1000, 1030))
    with pytest.raises(InputError, match="30 of the 30 rows to judge by are among the rows to learn from"):
        check_row_copies(doubled, halves, without=None)
    with pytest.raises(InputError, match="5 of the 5 rows to test by"):
        check_row_copies(doubled, Division(np.arange(500), np.arange(500, 1000), np.arange(1025, 1030)), without=None)
    check_row_copies(table, Division(np.arange(900), np.arange(900, 1000)), without=None)
    coarse = pl.DataFrame({"x": [i % 9 for i in range(1000)]})  # the same by chance
    check_row_copies(coarse, Division(np.arange(900), np.arange(900, 1000)), without=None)


def test_a_feature_that_tells_the_label_alone_is_named(table: pl.DataFrame) -> None:
    y = table["label"].to_numpy()
    odd = table.with_columns(sure=-pl.col("label") - pl.col("x").abs() / 100)
    (told,) = telling_alone(odd, ["x", "sure"], y, "classification")
    assert told.startswith("'sure' tells the label nearly alone (1.0000)")
    noise = np.random.default_rng(0).normal(size=1000)
    assert telling_alone(odd.with_columns(y=noise), ["x", "y"], noise, "regression") != []
