"""A flow over tables: as columns while the steps allow it, as events from the first step on that does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import polars as pl

from ...runtime.errors import InputError
from .answer import shape
from .chain import Chain
from .columnar import Work, columnar
from .columns import Columns, Lost, worked
from .compile import Compiled
from .event import Batch, Event
from .own_loop import OwnLoop
from .step import walk

Errors = Literal["raise", "column"]
Row = dict[str, Any]
PLACE = "\0place"  # no column of anybody's


class TableFlow:
    """Answers tables with tables: a row an answer, in the order of the rows.

    A row that a step drops has none, one that a step flattens has several. With `errors="column"` a row that failed
    has its answer's fields as far as they are known, and why in the column `error`; else its error is raised.
    An answer has an `id` where the rows have one.
    """

    def __init__(self, compiled: Compiled, *, errors: Errors = "raise") -> None:
        if errors not in ("raise", "column"):
            raise InputError(f"errors={errors!r}: write 'raise' or 'column'")
        self._compiled = compiled
        self._flow = compiled.flow
        self._tells = errors == "column"
        steps = [step for step in self._flow.steps if step.kind != "respond"]
        stages = self._flow.chain.stages
        works: list[tuple[str, Work]] = []
        for step, stage in zip(steps, stages, strict=True):
            work = columnar(step, stage)
            if work is None:
                break
            works.append((step.name, work))
        self._works = tuple(works)
        self._rest = Chain(stages[len(works) :])
        self._respond = next((step for step in self._flow.steps if step.kind == "respond"), None)
        self._predicts = any(step.kind == "predict" for step in walk(steps))
        has_function = self._respond is not None and self._respond.subject is not None
        # What is left to do for whole columns: nothing, and the answer is a choice of them.
        self.is_columnar = not self._rest.stages and not has_function
        self._loop = OwnLoop() if self._rest.is_async else None

    def close(self) -> None:
        """Gives back what the flow holds."""
        self._compiled.close()
        if self._loop is not None:
            self._loop.close()

    def run(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The answers; raises the error of a row that failed, with the step in its notes."""
        columns = Columns.of(frame)
        for step, work in self._works:
            columns = worked(columns, step, work)
        made = self._chosen(columns) if self.is_columnar else _table(self._answered(frame, columns))
        lost = sorted(columns.lost, key=lambda one: one.place)
        failed = [row for one in lost for row in self._failed(one, frame.row(one.place, named=True))]
        if failed:
            together = pl.concat([part for part in (made, _table(failed)) if part.width], how="diagonal_relaxed")
            made = together.sort(PLACE, maintain_order=True)
        if self._tells and "error" not in made.columns:
            made = made.with_columns(error=pl.lit(None, pl.String))
        return made.drop(PLACE, strict=False)

    def _chosen(self, columns: Columns) -> pl.DataFrame:
        """The answers as a choice of columns."""
        frame = columns.frame
        fields = () if self._respond is None else self._respond.fields
        found: dict[str, Any] = {PLACE: pl.Series(columns.places)}
        if not (self._predicts or fields):
            return frame.with_columns(**found)
        if "id" in frame.columns:
            found["id"] = _texts(frame["id"])
        if self._predicts:
            found["score"] = pl.Series(columns.scores if columns.scores is not None else [], dtype=None)
        for field in fields:
            found[field] = frame[field] if field in frame.columns else pl.Series([None] * frame.height, dtype=pl.Null)
        return pl.DataFrame(found)

    def _answered(self, frame: pl.DataFrame, columns: Columns) -> list[Row]:
        """The answers by way of events."""
        has_ids = "id" in frame.columns
        events = []
        for number, body in enumerate(columns.frame.iter_rows(named=True)):
            place = int(columns.places[number])
            event = Event(body, str(body["id"]) if "id" in body else f"row-{place}")
            if columns.rows is not None:
                event.names, event.row = columns.names, columns.rows[number]
            if columns.scores is not None:
                event.score, event.model = columns.scores[number].tolist(), self._flow.model
            events.append(event)
        batch = Batch(events)
        batch.rows = columns.rows
        if events and self._loop is not None:
            self._loop.run(self._rest.run_async(batch))
        elif events:
            self._rest.run(batch)
        made: list[Row] = []
        for place, event in zip(columns.places.tolist(), events, strict=True):
            body = event.body
            outcome = self._flow.outcome(event)
            if isinstance(outcome, Exception):
                if not self._tells:
                    raise outcome
                made.append(self._told(place, event.id, body, event, has_ids=has_ids))
                continue
            for answer in _flat(outcome):
                if not has_ids and answer.get("id") == event.id:
                    answer = {name: value for name, value in answer.items() if name != "id"}
                made.append({**answer, PLACE: place})
        return made

    def _failed(self, lost: Lost, body: Row) -> list[Row]:
        """The answers for a row that failed as a column; raises its error where it is to be raised."""
        event = Event(body, str(body["id"]) if "id" in body else f"row-{lost.place}")
        event.error, event.step = lost.error, lost.step
        outcome = self._flow.outcome(event)
        if not isinstance(outcome, Exception):
            return [{**answer, PLACE: lost.place} for answer in _flat(outcome)]
        if not self._tells:
            raise outcome
        return [self._told(lost.place, event.id, body, event, has_ids="id" in body)]

    def _told(self, place: int, name: str, body: Row, event: Event, *, has_ids: bool) -> Row:
        failed = event.failure() or event
        why = f"{failed.step}: {type(failed.error).__name__}: {failed.error}"
        fields = () if self._respond is None else self._respond.fields
        is_whole = not (self._predicts or fields or (self._respond is not None and self._respond.subject is not None))
        known = body if is_whole else {field: body[field] for field in fields if field in body}
        return {**({"id": name} if has_ids and not is_whole else {}), **known, "error": why, PLACE: place}


def _texts(values: pl.Series) -> pl.Series:
    """What `str` makes of each."""
    if values.dtype == pl.String or values.dtype.is_integer():
        return values.cast(pl.String).fill_null("None")
    return pl.Series([str(value) for value in values.to_list()], dtype=pl.String)


def _flat(answer: Any) -> list[Row]:
    """The rows of an answer: none for one that was dropped, several for one that was flattened."""
    if answer is None:
        return []
    if isinstance(answer, list):
        return [row for one in answer for row in _flat(one)]
    if not isinstance(answer, Mapping):
        return [{"answer": answer}]
    return [dict(answer)]


def _table(rows: Sequence[Row]) -> pl.DataFrame:
    try:
        return pl.DataFrame(rows, infer_schema_length=None)
    except (TypeError, pl.exceptions.PolarsError) as error:
        told = shape(rows[0])
        raise InputError(f"the answers are no table ({str(error).splitlines()[0]}); the first is {told}") from None
