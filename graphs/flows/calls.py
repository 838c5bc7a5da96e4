"""Stages that call a user's function, once an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...runtime.errors import InputError
from . import paths
from .cached import cached
from .chain import Put, Stage
from .event import Batch, Event
from .step import Step
from .subjects import is_async, made, takes_event

MOST_AT_ONCE = 64  # calls of an async function for the events of one batch


def call_stage(step: Step) -> Stage:
    """The function over each event: what it returns is put where the step says."""
    subject = made(step.subject)
    if step.options.cache is not None:
        subject = cached(subject, step.options.cache)
    return each(step, subject, putting(step))


def each(step: Step, subject: Callable[..., Any], put: Put) -> Stage:
    """Calls `subject` with what the step reads of each event, and `put` with the event and the result."""
    name = step.name
    read = _reading(step, subject)
    if is_async(subject):

        async def one(batch: Batch, event: Event) -> None:
            try:
                put(event, await subject(event.body if read is None else read(event)))
            except Exception as error:  # noqa: BLE001 - it is the event's own end
                batch.fail(event, error, name)

        async def stage_async(batch: Batch) -> None:
            events = batch.events
            if len(events) == 1:
                await one(batch, events[0])
                return
            for place in range(0, len(events), MOST_AT_ONCE):
                await asyncio.gather(*(one(batch, event) for event in events[place : place + MOST_AT_ONCE]))

        return Stage(name, stage_async, is_async=True, put=put)

    def stage(batch: Batch) -> None:
        for event in batch.events:
            try:
                put(event, subject(event.body if read is None else read(event)))
            except Exception as error:  # noqa: BLE001 - as above
                batch.fail(event, error, name)

    return Stage(name, stage, put=put)


def _reading(step: Step, subject: Callable[..., Any]) -> Callable[[Event], Any] | None:
    """What of the event the function is given; None for its body, which is the usual case."""
    if step.options.input:
        path = tuple(step.options.input.split("."))
        return lambda event: paths.get(event.body, path)
    return _itself if takes_event(subject) else None


def _itself(event: Event) -> Event:
    return event


def putting(step: Step) -> Put:
    """What becomes of a result: a verdict, a value at a place, or the new body."""
    name = step.name
    if step.kind == "check":

        def refuse(_: Event, verdict: Any) -> None:
            if verdict is None or verdict is True:
                return
            if isinstance(verdict, str) or not verdict:
                why = verdict if isinstance(verdict, str) else "the check said no"
                raise InputError(f"{name} refused the request: {why}")

        return refuse
    if step.options.result:
        path = tuple(step.options.result.split("."))

        def place(event: Event, result: Any) -> None:
            event.body = paths.put(event.body, path, result)

        return place

    def replace(event: Event, result: Any) -> None:
        if result is None:
            return
        if not isinstance(result, dict):
            kind = type(result).__name__
            raise TypeError(
                f"step {name!r} returned {kind}; return the body as a dict, or None, or give it result='...'"
            )
        event.body = result

    return replace
