"""Tables, good and bad, to folds."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

from eagleray.functions.evaluation.splits import Split
from eagleray.functions.training.learner import Fold
from eagleray.functions.training.training_table import Prepared, features_of, prepare
from eagleray.runtime.errors import InputError

FEATURES = ("a", "b", "c", "d", "night")


def features(table: pl.DataFrame, label: str = "clicked", ignore: tuple[str, ...] = ("who", "at")) -> tuple[str, ...]:
    return features_of(table, label=label, split=Split(), ignore=ignore)


def fold_of(table: pl.DataFrame, split: Split, metric: str = "average_precision") -> Fold:
    return prepared(table, split, metric).fold


def prepared(table: pl.DataFrame, split: Split, metric: str = "average_precision") -> Prepared:
    return prepare(table, FEATURES, label="clicked", metric_name=metric, split=split)


def test_features_are_the_numbers_and_booleans_in_the_tables_order(clicks: pl.DataFrame) -> None:
    assert features(clicks) == FEATURES


def test_the_split_columns_are_no_features(clicks: pl.DataFrame) -> None:
    split = Split(time_column="at", column="night")
    assert features_of(clicks, label="clicked", split=split, ignore=("who",)) == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.rename({"clicked": "clicks"}), "no label column 'clicked'; did you mean 'clicks'"),
        (lambda t: t.clear(), "the table is empty"),
        (lambda t: t.head(3), "3 rows are too few"),
        (lambda t: t.with_columns(x=pl.lit("text")), r"cannot be features: 'x' \(String\); encode them as"),
        (lambda t: t.with_columns(x=pl.lit([1.0])), r"'x' \(List\(Float64\)\); take numbers out of them"),
        (lambda t: t.with_columns(x=pl.col("at").dt.date()), r"'x' \(Date\); turn times into numbers"),
        (lambda t: t.with_columns(x=pl.lit(float("nan"))), "nothing but nulls: 'x'; fill or ignore"),
        (lambda t: t.with_columns(x=None), "nothing but nulls: 'x'; fill or ignore"),
        (lambda t: t.with_columns(x=pl.lit(None, pl.Float64)), "nothing but nulls: 'x'; fill or ignore"),
        (lambda t: t.with_columns(x=pl.lit(float("inf"))), "or some beyond the 3.4e38 of float32: 'x'"),
        (lambda t: t.select("clicked", "who", "at"), "no feature column is left"),
        (lambda t: t.drop("who"), "no column 'who'"),
        (
            lambda t: pl.concat([t, pl.DataFrame({f"f{i}": [0.0] * 2000 for i in range(10_000)})], how="horizontal"),
            "10,005 feature columns are too many to search over: keep at most 5,000",
        ),
    ],
)  # fmt: skip
def test_a_table_that_cannot_work_says_why(clicks: pl.DataFrame, change, says: str) -> None:
    with pytest.raises(InputError, match=says):
        features(change(clicks))


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (pl.lit(True), "is 1 in every row: give both classes"),
        (pl.lit("yes"), "label 'clicked' is String"),
        (pl.col("a").rank("ordinal").cast(pl.Int64) % 7, "has 7 values"),
        (pl.when(pl.col("night")).then(pl.col("clicked")), r"is unknown \(null, NaN or infinite\) in 988 of 2000 rows"),
    ],
)
def test_a_label_that_cannot_work_says_why(clicks: pl.DataFrame, label: pl.Expr, says: str) -> None:
    with pytest.raises(InputError, match=says):
        fold_of(clicks.with_columns(clicked=label), Split())


def test_a_value_that_never_changes_is_told_as_such_and_no_feature_is_blamed(clicks: pl.DataFrame) -> None:
    with pytest.raises(InputError, match="label 'clicked' has one value in all 2000 rows: there is nothing to learn"):
        fold_of(clicks.with_columns(clicked=2.5), Split(), "rmse")


def test_a_random_split_keeps_the_classes_in_proportion_and_every_row(clicks: pl.DataFrame) -> None:
    fold = fold_of(clicks, Split(fraction=0.25))
    assert (len(fold.x_train), len(fold.x_valid)) == (1500, 500)
    assert fold.y_train.mean() == pytest.approx(fold.y_valid.mean(), abs=0.002)
    assert np.nansum(fold.x[:, 0]) == pytest.approx(clicks["a"].sum(), rel=1e-4)


def test_a_split_depends_on_its_seed_alone(clicks: pl.DataFrame) -> None:
    first, again, other = (fold_of(clicks, Split(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.x, again.x, equal_nan=True)
    assert not np.array_equal(first.x, other.x, equal_nan=True)


def test_a_time_split_judges_by_the_latest_rows(clicks: pl.DataFrame) -> None:
    shuffled = clicks.sample(fraction=1.0, shuffle=True, seed=3)
    fold = fold_of(shuffled, Split(fraction=0.1, time_column="at"))
    late = clicks.sort("at").tail(200)
    assert len(fold.x_valid) == 200
    assert np.nansum(fold.x_valid[:, 0]) == pytest.approx(late["a"].sum(), rel=1e-4)


def test_rows_of_one_instant_stay_on_one_side(clicks: pl.DataFrame) -> None:
    fold = fold_of(clicks.with_columns(at=pl.int_range(pl.len()) // 700), Split(fraction=0.2, time_column="at"))
    assert (len(fold.x_train), len(fold.x_valid)) == (1400, 600)


def test_a_validation_column_leaves_out_its_nulls(clicks: pl.DataFrame) -> None:
    day = pl.int_range(pl.len()) // 500
    marked = clicks.with_columns(judges=pl.when(day == 3).then(True).when(day < 2).then(False))
    fold = fold_of(marked, Split(column="judges"))
    assert (len(fold.x_train), len(fold.x_valid)) == (1000, 500)


@pytest.mark.parametrize(
    ("split", "says"),
    [
        (Split(fraction=0.0), "validation_fraction is 0.0"),
        (Split(fraction=1.0), "validation_fraction is 1.0"),
        (Split(column="clicked_by"), "validation_column 'clicked_by' is String"),
        (Split(column="clicked"), "the .* rows to learn from are all negative"),
        (Split(column="all"), r"'all' is false \(teaches\) in no row: mark rows of both kinds"),
        (Split(time_column="same"), "leaves no rows to learn from"),
        (Split(time_column="gaps"), "time_column 'gaps' has 1000 nulls"),
        (Split(time_column="endless"), "time_column 'endless' holds NaN or infinite numbers"),
        (Split(time_column="who"), "time_column 'who' is String: turn it into .* with pl.col"),
    ],
)
def test_a_split_that_cannot_work_says_why(clicks: pl.DataFrame, split: Split, says: str) -> None:
    odd = clicks.with_columns(
        clicked_by=pl.col("who"), all=pl.lit(True), same=pl.lit(1), endless=pl.lit(float("inf")),
        gaps=pl.when(pl.int_range(pl.len()) < 1000).then(1),
    )  # fmt: skip
    with pytest.raises(InputError, match=says):
        fold_of(odd, split)


def test_held_out_rows_and_those_in_a_gap_come_after_the_known_ones(clicks: pl.DataFrame) -> None:
    made = prepared(clicks, Split(time_column="at", test_fraction=0.25, gap="100s"))
    assert (made.fold.train_rows, made.known_rows, made.test_rows, len(made.rows)) == (1020, 1300, 500, 2000)
    assert sorted(made.rows) == list(range(2000))
    assert set(made.rows[1300:1800]) == set(range(1500, 2000))
    assert made.fold.y.tolist() == clicks["clicked"].cast(pl.Float32).gather(made.rows).to_list()
    portion = made.portion()
    assert portion is not None
    seen = portion.of(made.fold)
    assert np.shares_memory(seen.x, made.fold.x)
    assert (len(seen.x_train), len(seen.x_valid)) == (1020, 280)
    assert seen.y_valid.tolist() == made.y_valid.tolist()
    assert prepared(clicks, Split(time_column="at")).portion() is None


def test_a_label_among_the_features_is_refused(clicks: pl.DataFrame) -> None:
    leaked = clicks.with_columns(d=pl.when(pl.col("clicked")).then(1.5).otherwise(-2.0))
    with pytest.raises(InputError, match="'d' is the label in another form"):
        fold_of(leaked, Split())
    with pytest.raises(InputError, match="'b' is the label in another form"):
        prepare(clicks.with_columns(b=pl.col("a") * 7), ("b", "c"), label="a", metric_name="rmse", split=Split())


@pytest.mark.parametrize("split", [Split(time_column="clicked"), Split(groups="clicked"), Split(column="clicked")])
def test_the_label_does_not_divide_the_rows(clicks: pl.DataFrame, split: Split) -> None:
    with pytest.raises(InputError, match="'clicked' is the label, so it does not divide the rows"):
        features_of(clicks, label="clicked", split=split, ignore=("who", "at"))
    with pytest.raises(InputError, match="label is None: give the name of the column to predict"):
        features_of(clicks, label=None, split=Split(), ignore=())  # type: ignore[arg-type]


def test_features_that_tell_all_are_refused_unless_they_are_trusted(clicks: pl.DataFrame) -> None:
    told = clicks.with_columns(d=pl.col("clicked").cast(pl.Float64) + pl.col("a").rank() / 10_000)
    with pytest.raises(InputError, match="'d' alone tells every one of the 2,000 labels"):
        fold_of(told, Split())
    made = prepare(
        told, FEATURES, label="clicked", metric_name="average_precision", split=Split(), trusted=("d",)
    )  # fmt: skip
    assert made.fold.x.shape == (2000, 5)


def test_five_thousand_columns_are_made_ready_in_seconds() -> None:
    rng = np.random.default_rng(0)
    wide = pl.DataFrame(rng.normal(size=(500, 5000)).astype(np.float32))
    names = tuple(wide.columns)
    wide = wide.with_columns(clicked=pl.Series(rng.random(500) < 0.5))
    began = time.monotonic()
    assert features_of(wide, label="clicked", split=Split(), ignore=()) == names
    made = prepare(wide, names, label="clicked", metric_name="average_precision", split=Split())
    assert made.fold.x.shape == (500, 5000)
    assert time.monotonic() - began < 10


def test_copies_of_rows_on_both_sides_are_refused(clicks: pl.DataFrame) -> None:
    with pytest.raises(InputError, match=r"of the \d+ rows to judge by are among the rows to learn from"):
        fold_of(pl.concat([clicks, clicks.head(200)]), Split())


def test_nulls_become_nan_and_booleans_numbers(clicks: pl.DataFrame) -> None:
    fold = fold_of(clicks, Split())
    assert np.isnan(fold.x[:, 1]).sum() == clicks["b"].null_count() > 0
    assert set(np.unique(fold.x[:, 4])) == {0.0, 1.0}


def test_regression_takes_any_number_as_its_label(clicks: pl.DataFrame) -> None:
    fold = prepare(clicks, ("b", "c"), label="a", metric_name="rmse", split=Split(fraction=0.5)).fold
    assert fold.task == "regression"
    assert len(fold.y_valid) == 1000
