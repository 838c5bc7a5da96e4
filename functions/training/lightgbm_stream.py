"""LightGBM fitted on rows that memory does not hold: it reads them a batch at a time and keeps their bins."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from .learner import Config, Fold
from .lightgbm_model import LightGBMTrainer
from .spilled import Spilled

HOW = "bins in memory"
_BATCH_ROWS = 65_536


def refit(rows: Spilled, like: Fold, config: Config, *, rounds: int, seed: int) -> bytes:
    """Boosts all rows for so many rounds on all cores; `like` are some of them, with task and metric. LightGBM's text.

    Memory holds the bins of all rows (a byte a value, two from 257 bins on) and the gradients.
    """
    import lightgbm

    class Batches(lightgbm.Sequence):
        batch_size = _BATCH_ROWS

        def __getitem__(self, which: int | slice | list[int]) -> npt.NDArray[np.float64]:  # it takes doubles only
            if isinstance(which, slice):
                found = rows.x(which.start or 0, rows.rows if which.stop is None else which.stop)
            elif isinstance(which, list):
                found = np.concatenate([rows.x(one, one + 1) for one in which])
            else:
                found = rows.x(which, which + 1)[0]
            return found.astype(np.float64)

        def __len__(self) -> int:
            return rows.rows

    threads = {"num_threads": os.cpu_count() or 1}
    trainer = LightGBMTrainer(like)
    data = lightgbm.Dataset(Batches(), rows.y(), params=trainer.data_params(int(config["max_bin"])) | threads)
    booster = lightgbm.train(trainer.params(config, seed) | threads, data, rounds)
    text: str = booster.model_to_string()
    return text.encode()
