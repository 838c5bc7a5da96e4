"""A compiled graph: its steps as plain calls over a batch of events, in one process."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...runtime.errors import DefinitionError, InputError
from .check import check_features
from .event import Batch, Body, Event
from .step import Floats, Predictor, Reader, Step, Tap

# What it returns is awaited, when it is an async step.
Stage = Callable[[Batch], Awaitable[None] | None]
# These work on all rows at once, so that requests gain by travelling together.
_JOINT = ("enrich", "predict", "explain")


class Flow:
    """Runs events through the steps; safe to use from several tasks and threads when the steps are.

    `reader` serves the enrich step, `tap` gets what was predicted. `is_async` is True when a step is an async
    function; then only `run_async` works.
    """

    def __init__(
        self, name: str, steps: Sequence[Step], *, reader: Reader | None = None, tap: Tap | None = None
    ) -> None:
        self.name = name
        self.model: Predictor | None = next((s.subject for s in steps if s.kind == "predict"), None)
        self.feature_names: tuple[str, ...] = self.model.features if self.model is not None else ()
        self._reader = reader
        self._tap = tap
        # A request that says when it happened is watched at that time: a replayed day is profiled as that day.
        self._moment_us: Callable[[Body], int] | None = getattr(reader, "moment_us", None)
        self._order: list[int] | None = None
        if any(step.kind == "enrich" for step in steps):
            if reader is None:
                raise DefinitionError(f"{name}: the graph reads features; give it a store")
            if self.model is None:
                self.feature_names = reader.names
            else:
                self._order = check_features(name, reader.names, self.model.features)
        self._respond: Callable[[Event], dict[str, Any]] = _answer(None, ())
        self.is_async = False
        self._stages: list[tuple[str, Stage, bool]] = []
        for step in steps:
            if step.kind == "respond":
                self._respond = _answer(step.subject, step.fields)
                continue
            stage = self._stage(step)
            self.is_async = self.is_async or inspect.iscoroutinefunction(stage)
            self._stages.append((step.name, stage, step.kind in _JOINT))

    def run(self, batch: Batch) -> list[dict[str, Any]]:
        """The answers, one an event; `batch.step` names the step when it raises."""
        for name, stage, _ in self._stages:
            batch.step = name
            stage(batch)
        return self._answers(batch)

    def run_together(self, batches: list[Batch]) -> list[list[dict[str, Any]] | Exception]:
        """Each batch's answers, or the error that its own events caused; one read and one prediction for all.

        A user's function runs once an event. Only reading and predicting, which change nothing, are done again, batch
        by batch, when one of the batches makes them fail.
        """
        results: dict[int, list[dict[str, Any]] | Exception] = {}
        live = list(enumerate(batches))
        merged: Batch | None = None
        for name, stage, joint in self._stages:
            if joint and len(live) > 1:
                merged = merged or _merged([batch for _, batch in live])
                if _succeeds(stage, merged):
                    _split(merged, [batch for _, batch in live])
                    continue
            for place, batch in live:
                batch.step = name
                try:
                    stage(batch)
                except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for this batch
                    results[place] = error
            if any(place in results for place, _ in live):
                live, merged = [item for item in live if item[0] not in results], None
        for place, batch in live:
            try:
                results[place] = self._answers(batch)
            except Exception as error:  # noqa: BLE001 - as above
                results[place] = error
        return [results[place] for place in range(len(batches))]

    async def run_async(self, batch: Batch) -> list[dict[str, Any]]:
        """Like `run`, awaiting the steps that are async functions."""
        for name, stage, _ in self._stages:
            batch.step = name
            waiting = stage(batch)
            if waiting is not None:
                await waiting
        return self._answers(batch)

    async def explain(self, batch: Batch) -> list[dict[str, Any]]:
        """Each event's score, contributions by feature and base value, in margin units: they add up to the margin.

        Nothing reaches the tap: a question about a decision is not one.
        """
        if self.model is None:
            raise InputError(f"{self.name} predicts nothing, so there is nothing to explain")
        for name, stage, _ in self._stages:
            batch.step = name
            waiting = stage(batch)
            if waiting is not None:
                await waiting
        batch.step = "explain"
        rows = self._rows(batch)
        return [
            {
                "id": event.id,
                "score": event.score,
                "base_value": float(parts[-1]),
                "contributions": dict(zip(self.feature_names, parts[:-1].tolist(), strict=True)),
                "features": dict(zip(self.feature_names, row.tolist(), strict=True)),
            }
            for event, row, parts in zip(batch.events, rows, self.model.explain(rows), strict=True)
        ]

    def test(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """The answer to a body, or the answers to a list of them, with no server."""
        batch = Batch.of([body] if isinstance(body, Mapping) else body, "test")
        answers = asyncio.run(self.run_async(batch)) if self.is_async else self.run(batch)
        return answers[0] if isinstance(body, Mapping) else answers

    def _answers(self, batch: Batch) -> list[dict[str, Any]]:
        batch.step = "respond"
        answers = [self._respond(event) for event in batch.events]
        tap = self._tap
        if tap is not None:
            now_us = time.time_ns() // 1_000
            moment_us = self._moment_us
            for event in batch.events:
                if event.row is not None and event.score is not None:
                    ts_us = now_us if moment_us is None else moment_us(event.body)
                    tap.put(event.id, event.row, event.score, ts_us)
        return answers

    def _stage(self, step: Step) -> Stage:
        if step.kind == "enrich":
            return self._enrich
        if step.kind == "predict":
            return self._predict
        if step.kind == "explain":
            return self._explain
        subject = step.subject() if isinstance(step.subject, type) else step.subject
        if hasattr(subject, "setup"):
            subject.setup()
        return _calls(subject, step.name, is_check=step.kind == "check")

    def _enrich(self, batch: Batch) -> None:
        assert self._reader is not None
        rows = self._reader.read([event.body for event in batch.events])
        batch.rows = rows if self._order is None else rows[:, self._order]
        for event, row in zip(batch.events, batch.rows, strict=True):
            event.names, event.row = self.feature_names, row

    def _predict(self, batch: Batch) -> None:
        assert self.model is not None
        rows = self._rows(batch)
        for event, score in zip(batch.events, self.model.predict(rows).tolist(), strict=True):
            event.score = score

    def _explain(self, batch: Batch) -> None:
        assert self.model is not None
        for event, parts in zip(batch.events, self.model.explain(self._rows(batch)), strict=True):
            event.contributions = parts
            event.values["base_value"] = float(parts[-1])
            event.values["contributions"] = dict(zip(self.feature_names, parts[:-1].tolist(), strict=True))

    def _rows(self, batch: Batch) -> Floats:
        """The features that were read, or the body's own fields of the model's names."""
        if batch.rows is None:
            names = self.feature_names
            batch.rows = np.array([[_number(event.body, name) for name in names] for event in batch.events], np.float64)
            for event, row in zip(batch.events, batch.rows, strict=True):
                event.names, event.row = names, row
        return batch.rows


def _merged(batches: Sequence[Batch]) -> Batch:
    merged = Batch([event for batch in batches for event in batch.events])
    rows = [batch.rows for batch in batches if batch.rows is not None]
    merged.rows = np.concatenate(rows) if rows else None
    return merged


def _succeeds(stage: Stage, batch: Batch) -> bool:
    try:
        stage(batch)
    except Exception:  # noqa: BLE001 - whose fault it is shows when each runs alone
        return False
    return True


def _split(merged: Batch, batches: Sequence[Batch]) -> None:
    """Gives each batch its share of the rows."""
    assert merged.rows is not None
    place = 0
    for batch in batches:
        batch.rows = merged.rows[place : place + len(batch.events)]
        place += len(batch.events)


def _number(body: Mapping[str, Any], name: str) -> float:
    value = body.get(name, body)
    if value is None:
        return float("nan")
    if isinstance(value, bool | int | float):
        return float(value)
    if value is body:
        raise InputError(f"the request lacks {name!r} (a number)")
    raise InputError(f"{name!r} must be a number, got {value!r}")


def _calls(subject: Callable[..., Any], name: str, *, is_check: bool) -> Stage:
    """The user's function over each event."""
    takes_event = _takes_event(subject)
    take = _refuse if is_check else _replace

    if inspect.iscoroutinefunction(subject) or inspect.iscoroutinefunction(getattr(type(subject), "__call__", None)):  # noqa: B004

        async def stage_async(batch: Batch) -> None:
            for event in batch.events:
                take(event, await subject(event if takes_event else event.body), name)

        return stage_async

    def stage(batch: Batch) -> None:
        for event in batch.events:
            result = subject(event if takes_event else event.body)
            if result is not None:
                take(event, result, name)

    return stage


def _takes_event(subject: Callable[..., Any]) -> bool:
    try:
        first = next(iter(inspect.signature(subject).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    return first is not None and (first.name == "event" or first.annotation in (Event, "Event"))


def _refuse(_: Event, verdict: Any, name: str) -> None:
    if verdict is None or verdict is True:
        return
    why = verdict if isinstance(verdict, str) else "the check said no"
    raise InputError(f"{name} refused the request: {why}")


def _replace(event: Event, result: Any, name: str) -> None:
    if result is None:
        return
    if not isinstance(result, dict):
        raise TypeError(f"step {name!r} returned {type(result).__name__}; return the body as a dict, or None")
    event.body = result


def _answer(function: Callable[..., Any] | None, fields: tuple[str, ...]) -> Callable[[Event], dict[str, Any]]:
    takes_event = function is not None and _takes_event(function)

    def answer(event: Event) -> dict[str, Any]:
        values = event.values
        found: dict[str, Any] = {"id": event.id, "score": event.score}
        if event.contributions is not None:
            found |= {key: values[key] for key in ("contributions", "base_value")}
        for field in fields:
            found[field] = values[field] if field in values else event.body.get(field)
        if function is not None:
            found |= function(event if takes_event else event.body)
        return found

    return answer
