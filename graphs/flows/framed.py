"""Functions that take a table: called once for all events of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from ...functions.calls.frames import kind_of, reader
from ...runtime.errors import DefinitionError
from .chain import Stage
from .event import Batch, Event
from .features import jointly
from .frame_hints import FRAMES
from .ports import Floats
from .step import Step
from .subjects import made


class Framed:
    """Calls the function with the bodies as a table; what it returns, a row an event, are the new bodies.

    A call that fails is made again for halves of the table, to find whose fault it is.
    """

    def __init__(self, name: str, function: Callable[[Any], Any], kind: str) -> None:
        self._name = name
        self._function = function
        self._read = None if kind == "polars.DataFrame" else reader(kind)

    def __call__(self, batch: Batch) -> None:
        rows = batch.rows
        jointly(batch, self._name, self._work)
        if not batch.failed:
            batch.rows = rows

    def table(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The new bodies of these; raises what the function raises."""
        result = self._function(frame if self._read is None else self._read(frame))
        if result is None:
            return frame
        kind = kind_of(type(result))
        if kind not in FRAMES:
            told = type(result).__name__
            raise DefinitionError(f"step {self._name!r} returned {told}; return the table, or None to leave it")
        made: pl.DataFrame = result if kind == "polars.DataFrame" else reader("polars.DataFrame")(result)
        if made.height != frame.height:
            raise DefinitionError(
                f"step {self._name!r} made {made.height} rows of {frame.height}; return one an event, in their order"
            )
        return made

    def _work(self, events: list[Event], rows: Floats | None) -> Any:
        made = self.table(pl.DataFrame([event.body for event in events], infer_schema_length=None))
        for event, body in zip(events, made.iter_rows(named=True), strict=True):
            event.body = body
        return rows


def framed_stage(step: Step, kind: str) -> Stage:
    """The function over all events at once."""
    return Stage.of(step.name, Framed(step.name, made(step.subject), kind))
