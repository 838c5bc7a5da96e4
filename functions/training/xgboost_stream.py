"""XGBoost fitted on rows that memory does not hold: its external memory, the binned pages on disk."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

from .learner import Config, Fold
from .spilled import Spilled
from .xgboost_model import XGBoostTrainer

HOW = "external memory"
_PAGE_ROWS = 262_144


def refit(rows: Spilled, like: Fold, config: Config, *, rounds: int, seed: int) -> bytes:
    """Boosts all rows for so many rounds on all cores; `like` are some of them, with task and metric. UBJSON.

    Memory holds a page of 262,144 rows, the gradients (8 bytes a row) and the trees; the bins of all rows lie in the
    rows' folder (a byte a value, two from 257 bins on).
    """
    import xgboost

    class Pages(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__(cache_prefix=str(rows.folder / "bins"))
            self.reset()

        def next(self, input_data: Callable[..., Any]) -> bool:
            page = next(self._left, None)
            if page is not None:
                input_data(data=rows.x(*page), label=rows.y(*page))
            return page is not None

        def reset(self) -> None:
            self._left = rows.slices(_PAGE_ROWS)

    threads = os.cpu_count() or 1
    params = XGBoostTrainer(like).params(config, seed) | {"nthread": threads}
    pages = xgboost.ExtMemQuantileDMatrix(Pages(), max_bin=int(config["max_bin"]), nthread=threads)
    booster = xgboost.train(params, pages, rounds)
    data = bytes(booster.save_raw("ubj"))
    del booster, pages  # removes its files itself, and warns where they are gone
    gc.collect()
    return data
