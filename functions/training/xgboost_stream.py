"""XGBoost fitted on rows that memory does not hold: its external memory, the binned pages on disk."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

from .learner import Config, Trainer
from .spilled import Spilled
from .xgboost_model import XGBoostTrainer

HOW = "external memory"


def kept_bytes(rows: int, width: int) -> int:  # noqa: ARG001 - as the port has it
    """None of the table's values stay in memory."""
    return 0


def refit(rows: Spilled, trainer: Trainer, config: Config, *, rounds: int, seed: int) -> bytes:
    """Boosts all rows for so many rounds on all cores, with the settings of XGBoost's trainer. UBJSON.

    Bins are those of a sample, so that the rows are read twice and not sketched. Memory holds a page or two, what
    boosting notes of a row (labels, margins, gradients, its leaf: 36 bytes) and the trees; the bins of all rows lie in
    the rows' folder (a byte a value, two from 257 bins on).
    """
    import xgboost

    assert isinstance(trainer, XGBoostTrainer)

    class Pages(xgboost.DataIter):
        stopped: BaseException | None = None

        def __init__(self) -> None:
            super().__init__(cache_prefix=str(rows.folder / "bins"))
            self.reset()

        def next(self, input_data: Callable[..., Any]) -> bool:
            try:
                page = next(self._left, None)
                if page is not None:
                    input_data(data=rows.x(*page), label=rows.y(*page))
            except BaseException as stopped:  # noqa: BLE001 - Ctrl-C would pass for the end of the rows; raised below
                self.stopped = self.stopped or stopped
                return False
            return page is not None

        def reset(self) -> None:
            self._left = rows.slices()

    bins, threads = int(config["max_bin"]), os.cpu_count() or 1
    params = trainer.params(config, seed) | {"nthread": threads}
    source = Pages()
    known = xgboost.QuantileDMatrix(rows.sample(seed), max_bin=bins, nthread=threads)
    try:
        pages = xgboost.ExtMemQuantileDMatrix(source, max_bin=bins, nthread=threads, ref=known)
    finally:
        if source.stopped is not None:
            raise source.stopped
    del known
    booster = xgboost.train(params, pages, rounds)
    data = bytes(booster.save_raw("ubj"))
    del booster, pages  # removes its files itself, and warns where they are gone
    gc.collect()
    return data
