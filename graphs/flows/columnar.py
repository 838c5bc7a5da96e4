"""Steps that work on whole tables: what a graph's first steps do to many rows at once, without an event a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from ...runtime.errors import InputError
from .calls import putting
from .chain import Stage
from .check import check_features
from .columns import Columns, Lost
from .ensemble import Ensemble
from .features import Enrich, Predict
from .framed import Framed
from .ports import Floats, Predictor, Reader
from .step import Step
from .subjects import is_async, made, takes_event

Work = Callable[[Columns], Columns]


def columnar(step: Step, stage: Stage) -> Work | None:
    """What does the step's work on columns; None where it takes events, one after the other."""
    run = stage.run
    if isinstance(run, Framed):
        return lambda columns: replace(columns, frame=run.table(columns.frame))
    if isinstance(run, Enrich):
        return _Read(run.reader, run.fills)
    if isinstance(run, Predict):
        model = step.subject
        return None if isinstance(model, Ensemble) and model.tells else _Score(model)
    if step.kind not in ("check", "filter") or step.options.is_guarded or step.options.input:
        return None
    if is_async(step.subject) or takes_event(step.subject):
        return None
    return _check(step) if step.kind == "check" else _filter(step)


class _Read:
    """Reads a vector."""

    def __init__(self, reader: Reader, fills: Sequence[tuple[int, float]]) -> None:
        self._reader: Any = reader
        self._fills = fills
        # A reader that tells which columns it looks at takes them as they are.
        self._columns: Sequence[str] | None = getattr(reader, "asks", None)

    def __call__(self, columns: Columns) -> Columns:
        frame = columns.frame
        if self._columns is not None:
            rows = self._reader.read({name: frame[name].to_list() for name in self._columns if name in frame.columns})
        else:
            rows = self._reader.read(frame.to_dicts())
        for column, value in self._fills:
            rows[:, column] = np.where(np.isnan(rows[:, column]), value, rows[:, column])
        return replace(columns, names=tuple(self._reader.names), rows=rows)


class _Score:
    """Predicts from the features that were read, or from the columns of the model's names."""

    def __init__(self, model: Predictor) -> None:
        self._model = model

    def __call__(self, columns: Columns) -> Columns:
        rows, features = columns.rows, tuple(self._model.features)
        if rows is None:
            rows = numbers(columns.frame, features)
        else:
            order = check_features("predict", columns.names, features)
            rows = rows if order is None else rows[:, order]
        return replace(columns, names=features, rows=rows, scores=self._model.predict(rows))


def numbers(frame: pl.DataFrame, names: Sequence[str]) -> Floats:
    """Rows x names, null as NaN; raises `InputError` for a column that is missing or holds something else."""
    for name in names:
        if name not in frame.columns:
            raise InputError(f"the request lacks {name!r} (a number)")
        dtype = frame.schema[name]
        if not (dtype.is_integer() or dtype.is_float() or dtype in (pl.Boolean, pl.Null)):
            values = frame[name].drop_nulls()
            if len(values):
                raise InputError(f"{name!r} must be a number, got {values[0]!r}")
    filled = frame.select(pl.col(name).cast(pl.Float64, strict=False).fill_null(float("nan")) for name in names)
    return np.ascontiguousarray(filled.to_numpy(), dtype=np.float64)


def _check(step: Step) -> Work:
    """Asks the rule about each row."""
    rule, put = made(step.subject), putting(step)

    def work(columns: Columns) -> Columns:
        keep, lost = [], []
        for place, body in zip(columns.places.tolist(), columns.frame.iter_rows(named=True), strict=True):
            try:
                put(_NOBODY, rule(body))
            except Exception as error:  # noqa: BLE001 - it is the row's own end
                lost.append(Lost(place, step.name, error))
            keep.append(not lost or lost[-1].place != place)
        return columns.kept(keep, lost)

    return work


def _filter(step: Step) -> Work:
    """Asks the predicate about each row; those that it refuses have no answer."""
    predicate = made(step.subject)

    def work(columns: Columns) -> Columns:
        keep, lost = [], []
        for place, body in zip(columns.places.tolist(), columns.frame.iter_rows(named=True), strict=True):
            try:
                keep.append(bool(predicate(body)))
            except Exception as error:  # noqa: BLE001 - as above
                lost.append(Lost(place, step.name, error))
                keep.append(False)
        return columns.kept(keep, lost)

    return work


_NOBODY: Any = None  # a verdict is put nowhere
