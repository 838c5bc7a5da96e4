"""Tables larger than the bound: a sample is searched over, all rows are fitted at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.functions.automl import AutoMLOptions, fit
from eagleray.functions.evaluation.metric import roc_auc
from eagleray.functions.fitting import automl_search
from eagleray.functions.fitting.table_input import taken
from eagleray.functions.training.learner import Fold
from eagleray.functions.training.sample import Plan
from eagleray.functions.training.trainer import LocalPool, Portion
from eagleray.runtime.settings import Settings

BOUND = 800_000
OPTIONS = AutoMLOptions(
    track=False, deterministic=True, trials=3, ensemble_size=2, memory_bytes=BOUND, calibration="none", folds=0
)  # fmt: skip


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """One trainer in this process in place of Ray's."""

    def pool(fold: Fold, options: AutoMLOptions, settings: Settings, portions: Sequence[Portion]) -> LocalPool:
        return LocalPool(fold, portions)

    monkeypatch.setattr(automl_search, "_ray_pool", pool)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """24,000 rows whose label an interaction tells, in whole microseconds."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(24_000, 5)).astype(np.float32)
    y = x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=len(x)) > 1.0
    made = pl.DataFrame({f"f{i}": x[:, i] for i in range(5)}).with_columns(y=pl.Series(y))
    return made.with_columns(at=pl.datetime(2026, 1, 1) + pl.duration(seconds=pl.int_range(pl.len())))


def rows_of(table: pl.DataFrame, names: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return table.select(names).to_numpy().astype(np.float32)


def test_a_sample_is_searched_over_and_all_rows_are_fitted(table: pl.DataFrame, tmp_path: Path) -> None:
    table.write_parquet(tmp_path / "t.parquet")
    run = fit(tmp_path / "t.parquet", label="y", metric="roc_auc", time_column="at", options=OPTIONS)
    sample, told = run.about["sample_rows"], str(run.about["final_fit"])
    assert 5_000 < int(sample) < 24_000
    assert run.about["all_rows"] == 24_000
    assert {part.learner for part in run.recipe} == {one.split()[0] for one in told.split("; ")}
    assert told.count("on all 24,000 rows") == len({part.learner for part in run.recipe})
    assert f"a sample of {sample:,} of 24,000 rows" in run.evaluation.notes[0]
    assert "each class in proportion" in run.report().html
    # What judged never taught: the latest rows of the sample, and the model judged was fitted on those before.
    searched = taken(table, Plan(BOUND, "y")).table.sort("at")
    judged = searched.tail(len(run.evaluation.labels))
    assert run.evaluation.labels.sum() == judged["y"].sum()
    assert run.about["rows"] == searched.height
    # The model itself is another than the sample's: it has learned from all rows.
    only = fit(searched, label="y", metric="roc_auc", time_column="at", options=replace(OPTIONS, memory_bytes=10**9))
    x, y = rows_of(table, run.model.features), table["y"].cast(pl.Float64).to_numpy()
    assert not np.array_equal(run.model.predict(x), only.model.predict(x))
    assert roc_auc(y, run.model.predict(x)) > 0.8


def test_what_reads_no_rows_from_disk_stays_on_the_sample_and_says_so(table: pl.DataFrame) -> None:
    small = replace(OPTIONS, memory_bytes=200_000, trials=1, learners=("lightgbm",))  # the bins of all rows take more
    run = fit(table.drop("at"), label="y", metric="roc_auc", options=small)
    assert run.about["final_fit"] == f"lightgbm on the sample's {run.about['sample_rows']:,} rows"


@pytest.mark.parametrize("name", ["forest", "extra_trees", "linear"])
def test_the_other_learners_learn_from_all_rows_too(table: pl.DataFrame, name: str) -> None:
    run = fit(
        table.drop("at"), label="y", metric="roc_auc",
        options=replace(OPTIONS, trials=1, learners=(name,), memory_bytes=500_000),
    )  # fmt: skip
    assert str(run.about["final_fit"]).startswith(f"{name} on all 24,000 rows (")
    y = table["y"].cast(pl.Float64).to_numpy()
    assert roc_auc(y, run.model.predict(rows_of(table, run.model.features))) > 0.65


def test_the_same_rows_give_the_same_model_whoever_holds_them(table: pl.DataFrame, tmp_path: Path) -> None:
    some = table.head(5000)
    some.write_parquet(tmp_path / "t.parquet")
    runs = [
        fit(form, label="y", metric="roc_auc", time_column="at", options=replace(OPTIONS, memory_bytes=None))
        for form in (some, some.lazy(), tmp_path / "t.parquet", some.to_pandas())
    ]
    for run in runs[1:]:
        assert [one.booster.data for one in run.model.members] == [one.booster.data for one in runs[0].model.members]
        assert run.metrics == runs[0].metrics
    assert "final_fit" not in runs[0].about


def test_samples_of_whole_groups_and_of_numbers_work(table: pl.DataFrame) -> None:
    grouped = table.with_columns(who=pl.int_range(pl.len()) // 100).drop("at")
    run = fit(grouped, label="y", metric="roc_auc", groups="who", options=OPTIONS)
    assert "whole groups of 'who'" in run.evaluation.notes[0]
    numbers = table.drop("at", "y").rename({"f4": "size"})
    run = fit(
        numbers.with_columns(size=pl.col("f0") * 2 + pl.col("size")), label="size", metric="rmse", options=OPTIONS
    )
    assert "by the hash of a row" in run.evaluation.notes[0]
    assert run.metrics["r2"] > 0.7
