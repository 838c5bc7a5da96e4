"""LightGBM, a forest among others, fitted on rows that memory does not hold: it reads batches and keeps their bins."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from .learner import Config, Trainer
from .lightgbm_model import LightGBMTrainer
from .spilled import Spilled

HOW = "bins in memory"
_BIN_BYTES = 2  # from 257 bins on


def kept_bytes(rows: int, width: int) -> int:
    """The bins of all rows."""
    return _BIN_BYTES * rows * width


def refit(rows: Spilled, trainer: Trainer, config: Config, *, rounds: int, seed: int) -> bytes:
    """Boosts all rows for so many rounds on all cores, with the settings of LightGBM's trainer. LightGBM's text.

    Bins are those of a sample. Memory holds the bins of all rows (a byte a value, two from 257 bins on) and what
    boosting notes of a row.
    """
    import lightgbm

    assert isinstance(trainer, LightGBMTrainer)

    class Batches(lightgbm.Sequence):
        batch_size = max(1, rows.page_rows // 2)  # doubles take twice as much

        def __getitem__(self, which: int | slice | list[int]) -> npt.NDArray[np.float64]:
            if not isinstance(which, slice):  # it draws single rows only where it has no bins yet
                raise TypeError(f"rows are read a slice at a time, not by {type(which).__name__}")
            found = rows.x(which.start or 0, rows.rows if which.stop is None else which.stop)
            return found.astype(np.float64)  # it takes doubles only

        def __len__(self) -> int:
            return rows.rows

    # By column: to go by row it would keep a second copy of the bins.
    ways = {"num_threads": os.cpu_count() or 1, "force_row_wise": False, "force_col_wise": True}
    settings = trainer.data_params(int(config["max_bin"])) | ways
    known = lightgbm.Dataset(rows.sample(seed), params=settings).construct()
    data = lightgbm.Dataset(Batches(), rows.y(), params=settings, reference=known).construct()
    del known
    booster = lightgbm.train(trainer.params(config, seed) | ways, data, rounds)
    text: str = booster.model_to_string()
    return text.encode()
