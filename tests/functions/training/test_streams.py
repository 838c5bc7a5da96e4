"""Boosters fitted on rows that lie on disk."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest
import xgboost

from eagleray.functions.evaluation.metric import Task, roc_auc
from eagleray.functions.training import lightgbm_stream, linear_model, linear_stream, xgboost_stream
from eagleray.functions.training.blocks import Blocks, of_frame
from eagleray.functions.training.learner import Fold, learner
from eagleray.functions.training.lightgbm_model import LightGBMTrainer
from eagleray.functions.training.spilled import Spilled, spilled
from eagleray.functions.training.xgboost_model import XGBoostTrainer
from eagleray.runtime.errors import InputError, StorageError

SMALL = 4 * 16 * 4 * 300  # bytes: pages of 300 rows of four features
FEATURES = ("a", "b", "c", "d", "night")


def test_rows_on_disk_are_the_tables_and_are_gone_afterwards(clicks: pl.DataFrame) -> None:
    with spilled(of_frame(clicks), FEATURES, "clicked", memory_bytes=SMALL) as rows:
        assert (rows.rows, rows.width) == (2000, 5)
        assert np.array_equal(
            rows.x(100, 300)[:, 1], clicks["b"][100:300].cast(pl.Float32).fill_null(np.nan).to_numpy(), equal_nan=True
        )
        assert rows.y().tolist() == clicks["clicked"].cast(pl.Float32).to_list()
        assert list(rows.slices(900)) == [(0, 900), (900, 1800), (1800, 2000)]
        folder = rows.folder
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize(("change", "says"), [("a", "infinite values: 'a'"), ("clicked", "'clicked' is unknown")])
def test_a_row_that_no_trainer_takes_is_named(clicks: pl.DataFrame, change: str, says: str) -> None:
    last = pl.int_range(pl.len()) == 1999
    odd = clicks.with_columns(pl.when(last).then(float("inf")).otherwise(pl.col(change)).alias(change))
    with pytest.raises(InputError, match=says), spilled(of_frame(odd), FEATURES, "clicked", memory_bytes=SMALL):
        pass


def test_a_source_that_breaks_off_leaves_nothing_behind(clicks: pl.DataFrame, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def read(columns):
        yield clicks.select(columns)
        raise OSError(28, "No space left on device")

    broken = Blocks(tuple(clicks.columns), read, "rows")
    with pytest.raises(StorageError, match="No space left"), spilled(broken, FEATURES, "clicked", memory_bytes=SMALL):
        pass
    assert not list(tmp_path.iterdir())


@pytest.fixture
def on_disk(clicks: pl.DataFrame) -> Iterator[Spilled]:
    """The rows of `fold`, seven pages of them."""
    with spilled(of_frame(clicks), "abcd", "clicked", memory_bytes=SMALL) as rows:
        assert rows.page_rows == 300
        yield rows


def test_the_sample_has_rows_of_all_pages_once(on_disk: Spilled) -> None:
    every = on_disk.x(0, on_disk.rows)
    found = on_disk.sample(3)
    assert 1100 < len(found) < 1300  # a quarter of the bound holds 1,200
    places = {row.tobytes(): place for place, row in enumerate(every)}
    taken = [places[row.tobytes()] for row in found]
    assert taken == sorted(set(taken))
    assert set(np.array(taken) // 300) == set(range(7))
    assert np.array_equal(found, on_disk.sample(3), equal_nan=True)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_xgboosts_trees_of_pages_are_those_of_rows_in_memory(fold: Fold, on_disk: Spilled, start: int) -> None:
    made = learner("xgboost")
    trainer = XGBoostTrainer(fold)
    config = made.starts(2000)[start]
    there = xgboost_stream.refit(on_disk, trainer, config, rounds=30, seed=1)
    bins = xgboost.QuantileDMatrix(on_disk.sample(1), max_bin=int(config["max_bin"]))
    whole = xgboost.QuantileDMatrix(fold.x, fold.y, max_bin=int(config["max_bin"]), ref=bins)
    here = xgboost.train(trainer.params(config, 1), whole, 30).predict(xgboost.DMatrix(fold.x), output_margin=True)
    assert made.booster(there).margins(fold.x) == pytest.approx(here, abs=1e-4)
    assert there == xgboost_stream.refit(on_disk, trainer, config, rounds=30, seed=1)


@pytest.mark.parametrize("name", ["lightgbm", "forest", "extra_trees"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_lightgbms_trees_of_batches_are_those_of_rows_in_memory(
    fold: Fold, on_disk: Spilled, name: str, task: Task
) -> None:
    made = learner(name)
    trainer = made.trainer(replace(fold, task=task))
    assert isinstance(trainer, LightGBMTrainer)
    config = made.starts(2000)[1]
    there = made.booster(lightgbm_stream.refit(on_disk, trainer, config, rounds=30, seed=1))
    settings = trainer.params(config, 1)
    bins = lightgbm.Dataset(on_disk.sample(1), params=trainer.data_params(int(config["max_bin"])))
    whole = lightgbm.Dataset(fold.x, fold.y, params=trainer.data_params(int(config["max_bin"])), reference=bins)
    here = made.booster(lightgbm.train(settings, whole, 30).model_to_string().encode())
    assert there.margins(fold.x) == pytest.approx(here.margins(fold.x), abs=1e-6)


@pytest.mark.parametrize("l2", [1e-5, 1e-3, 0.1])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_weights_summed_over_the_disk_are_those_of_rows_in_memory(
    fold: Fold, on_disk: Spilled, task: Task, l2: float
) -> None:
    trainer = linear_model.LinearTrainer(replace(fold, task=task))
    there, here = (
        linear_model.LinearBooster(data).margins(fold.x)
        for data in (
            linear_stream.refit(on_disk, trainer, {"l2": l2}, rounds=50, seed=0),
            trainer.refit({"l2": l2}, rounds=50, seed=0),
        )
    )
    assert there == pytest.approx(here, abs=1e-4)


def test_bins_of_a_sample_are_as_good_as_bins_of_all_rows(fold: Fold, on_disk: Spilled) -> None:
    made = learner("xgboost")
    config = made.starts(2000)[1]
    here = made.booster(made.trainer(fold).refit(config, rounds=30, seed=1)).margins(fold.x)
    there = made.booster(xgboost_stream.refit(on_disk, made.trainer(fold), config, rounds=30, seed=1)).margins(fold.x)
    assert roc_auc(fold.y, there) == pytest.approx(roc_auc(fold.y, here), abs=0.01)
    assert np.corrcoef(here, there)[0, 1] > 0.98


@pytest.mark.parametrize(("what", "call"), [("x", 5), ("slices", 4)])  # amid the pages, between two passes
def test_ctrl_c_while_pages_are_read_ends_the_fit(
    on_disk: Spilled, fold: Fold, what: str, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, whole = 0, getattr(Spilled, what)

    def interrupted(self: Spilled, *given: int) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            signal.raise_signal(signal.SIGINT)
        return whole(self, *given)

    monkeypatch.setattr(Spilled, what, interrupted)
    with pytest.raises(KeyboardInterrupt):
        xgboost_stream.refit(on_disk, XGBoostTrainer(fold), learner("xgboost").starts(2000)[0], rounds=3, seed=1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
