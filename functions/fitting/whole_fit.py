"""The final fit on all rows of a table that was too large to search over whole."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import polars as pl

from ...runtime.freed import give_back
from ..evaluation.metric import Task
from ..training.learner import Config, Fold, Trainer, learner
from ..training.sample import Taken
from ..training.spilled import Spilled, spilled
from .automl_run import AutoMLRun

_LIKE_ROWS = 64  # enough for a trainer to know its task by
_STREAMED: Mapping[str, str] = {
    "xgboost": "xgboost_stream", "lightgbm": "lightgbm_stream", "forest": "lightgbm_stream",
    "extra_trees": "lightgbm_stream", "linear": "linear_stream",
}  # fmt: skip
_TASKS: Sequence[Task] = ("classification", "regression")


class Stream(Protocol):
    """A learner's way of fitting rows on disk; a module like `xgboost_stream` is one."""

    HOW: str

    def kept_bytes(self, rows: int, width: int) -> int:
        """What it keeps in memory of a table's values all the while."""
        ...

    def refit(self, rows: Spilled, trainer: Trainer, config: Config, *, rounds: int, seed: int) -> bytes:
        """The booster in its library's own format; `trainer` knows the task and the learner's settings."""
        ...


def fit_whole(run: AutoMLRun, taken: Taken, *, seed: int) -> AutoMLRun:
    """The run with its members fitted on all rows, in this process; as it is where the sample was all rows.

    `about["final_fit"]` and the evaluation's notes say what was done. A learner that reads no rows from disk stays
    fitted on the sample, and so does one that would keep more of all rows than the bound (LightGBM their bins). What
    judged the model was the sample's: the members judged never saw a row that judges.
    Raises `InputError` for a row that cannot be learned from.
    """
    if taken.all_rows is None:
        return run
    began = time.monotonic()
    model = run.model
    names = {part.learner for part in run.recipe}
    streams = {name: _stream(name) for name in names & _STREAMED.keys()} if model.task in _TASKS else {}
    streams = {
        name: stream for name, stream in streams.items()
        if stream.kept_bytes(taken.rows, len(model.features)) <= taken.memory_bytes
    }  # fmt: skip
    members = list(model.members)
    if streams:
        like = _like(taken.table, run)
        with spilled(taken.all_rows, model.features, model.label, memory_bytes=taken.memory_bytes) as rows:
            for place, part in enumerate(run.recipe):
                give_back()
                if part.learner in streams:
                    made = learner(part.learner)
                    data = streams[part.learner].refit(
                        rows, made.trainer(like), part.config, rounds=part.rounds, seed=seed
                    )
                    members[place] = replace(members[place], booster=made.booster(data))
    told = "; ".join(
        [f"{name} on all {taken.rows:,} rows ({streams[name].HOW})" for name in sorted(streams)]
        + [f"{name} on the sample's {taken.table.height:,} rows" for name in sorted(names - streams.keys())]
    )
    sample = (
        f"Searched over and judged on a sample of {taken.table.height:,} of {taken.rows:,} rows ({taken.how}), as "
        f"memory_bytes allows; fitted at the end: {told}."
    )
    return replace(
        run,
        model=replace(model, members=tuple(members)),
        evaluation=replace(run.evaluation, notes=(sample, *run.evaluation.notes)),
        about={**run.about, "sample_rows": taken.table.height, "all_rows": taken.rows, "final_fit": told,
               "final_fit_s": round(time.monotonic() - began, 2)},
    )  # fmt: skip


def _stream(name: str) -> Stream:
    found: Stream = importlib.import_module(f"..training.{_STREAMED[name]}", __package__)
    return found


def _like(table: pl.DataFrame, run: AutoMLRun) -> Fold:
    some = table.head(_LIKE_ROWS)
    x = some.select(pl.col(run.model.features).cast(pl.Float32).fill_null(np.nan)).to_numpy()
    y = some[run.model.label].cast(pl.Float32).to_numpy()
    return Fold(x=x, y=y, train_rows=some.height, task=run.model.task, metric=run.evaluation.metric)
