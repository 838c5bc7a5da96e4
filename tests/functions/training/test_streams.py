"""Boosters fitted on rows that lie on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.functions.evaluation.metric import roc_auc
from eagleray.functions.training import lightgbm_stream, xgboost_stream
from eagleray.functions.training.blocks import Blocks, of_frame
from eagleray.functions.training.learner import Fold, learner
from eagleray.functions.training.spilled import spilled
from eagleray.runtime.errors import InputError, StorageError

FEATURES = ("a", "b", "c", "d", "night")


def test_rows_on_disk_are_the_tables_and_are_gone_afterwards(clicks: pl.DataFrame) -> None:
    with spilled(of_frame(clicks), FEATURES, "clicked") as rows:
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
    with pytest.raises(InputError, match=says), spilled(of_frame(odd), FEATURES, "clicked"):
        pass


def test_a_source_that_breaks_off_leaves_nothing_behind(clicks: pl.DataFrame, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def read(columns):
        yield clicks.select(columns)
        raise OSError(28, "No space left on device")

    broken = Blocks(tuple(clicks.columns), read, "rows")
    with pytest.raises(StorageError, match="No space left"), spilled(broken, FEATURES, "clicked"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "module"), [("xgboost", xgboost_stream), ("lightgbm", lightgbm_stream)])
def test_a_booster_of_rows_on_disk_is_as_good_as_one_of_rows_in_memory(
    clicks: pl.DataFrame, fold: Fold, name: str, module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_ROWS" if name == "xgboost" else "_BATCH_ROWS", 700)  # several pages
    made = learner(name)
    config = made.starts(2000)[1]
    here = made.booster(made.trainer(fold).refit(config, rounds=30, seed=1)).margins(fold.x)
    with spilled(of_frame(clicks), "abcd", "clicked") as rows:
        again = [module.refit(rows, fold, config, rounds=30, seed=1) for _ in range(2)]
    there = made.booster(again[0]).margins(fold.x)
    assert again[0] == again[1]
    assert roc_auc(fold.y, there) == pytest.approx(roc_auc(fold.y, here), abs=0.01)
    assert np.corrcoef(here, there)[0, 1] > 0.98
