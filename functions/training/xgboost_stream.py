"""XGBoost fitted on rows that memory does not hold: its external memory, the binned pages on disk."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...runtime.freed import give_back
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
        def __init__(self) -> None:
            super().__init__(cache_prefix=str(rows.folder / "bins"))
            self.reset()

        def next(self, input_data: Callable[..., Any]) -> bool:
            page = next(self._left, None)
            if page is None or interrupts:
                return False
            input_data(data=rows.x(*page), label=rows.y(*page))
            return True

        def reset(self) -> None:
            self._left = rows.slices()

    interrupts: list[int] = []
    bins, threads = int(config["max_bin"]), os.cpu_count() or 1
    params = trainer.params(config, seed) | {"nthread": threads}
    known = xgboost.QuantileDMatrix(rows.sample(seed), max_bin=bins, nthread=threads)
    try:
        with _noted(interrupts):
            pages = xgboost.ExtMemQuantileDMatrix(Pages(), max_bin=bins, nthread=threads, ref=known)
    finally:
        if interrupts:
            raise KeyboardInterrupt
    del known
    give_back()
    booster = xgboost.train(params, pages, rounds)
    data = bytes(booster.save_raw("ubj"))
    del booster, pages  # removes its files itself, and warns where they are gone
    give_back()
    return data


@contextmanager
def _noted(interrupts: list[int]) -> Iterator[None]:
    """Notes Ctrl-C: raised in a callback from C it would be lost, and the rows would seem to end there."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):  # not ours to handle
        yield
        return
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
