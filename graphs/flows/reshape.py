"""Stages that change how many events there are, or work on the items of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...runtime.errors import InputError
from . import paths
from .calls import each
from .chain import Stage
from .event import Batch, Event
from .step import Step
from .subjects import is_async, made, takes_event


def keep_stage(step: Step) -> Stage:
    """Events that the predicate refuses go no further; their answer is null."""

    def put(event: Event, verdict: Any) -> None:
        event.is_dropped = not verdict

    judged = each(step, made(step.subject), put)
    if judged.is_async:

        async def keep_async(batch: Batch) -> None:
            await judged.run(batch)  # type: ignore[misc] # an async stage
            _keep(batch)

        return Stage(step.name, keep_async, is_async=True, put=put)

    def keep(batch: Batch) -> None:
        judged.run(batch)
        _keep(batch)

    return Stage(step.name, keep, put=put)


def _keep(batch: Batch) -> None:
    kept = [event for event in batch.events if not event.is_dropped]
    if len(kept) < len(batch.events):
        batch.keep(kept)


def flatten_stage(step: Step) -> Stage:
    """Makes events of the items of a list: the field the step names, or what its function returns."""

    def put(event: Event, items: Any) -> None:
        if not isinstance(items, Sequence) or isinstance(items, str | bytes):
            raise InputError(f"{step.name} makes events of a list, not of {type(items).__name__}")
        event.children = [_child(event, item, place, step.name) for place, item in enumerate(items)]

    subject = step.subject
    if isinstance(subject, str):
        path = tuple(subject.split("."))
        found = each(replace(step, subject=None), lambda body: paths.get(body, path), put)
    else:
        found = each(step, made(subject), put)
    if found.is_async:

        async def flatten_async(batch: Batch) -> None:
            await found.run(batch)  # type: ignore[misc] # an async stage
            _children(batch)

        return Stage(step.name, flatten_async, is_async=True)

    def flatten(batch: Batch) -> None:
        found.run(batch)
        _children(batch)

    return Stage(step.name, flatten)


def _child(event: Event, item: Any, place: int, step: str) -> Event:
    if not isinstance(item, dict):
        raise InputError(f"item {place} of {step} is {type(item).__name__}; give dicts, each becomes a body")
    child = Event(item, str(item["id"]) if "id" in item else f"{event.id}-{place}")
    child.values, child.is_dry = dict(event.values), event.is_dry
    if event.origin is not None:
        child.origin = replace(event.origin, part=f"{event.origin.part}/{place}")
    return child


def _children(batch: Batch) -> None:
    batch.keep([child for event in batch.events if event.error is None for child in event.children or ()])


def map_stage(step: Step) -> Stage:
    """Calls the function for each item of the list at the step's input, and puts the list of results there."""
    subject = made(step.subject)
    path = tuple(step.options.input.split("."))
    target = tuple(step.options.result.split(".")) if step.options.result else path

    def put(event: Event, results: Any) -> None:
        event.body = paths.put(event.body, target, results)

    def items(event: Event) -> Sequence[Any]:
        found = paths.get(event.body, path)
        if not isinstance(found, list | tuple):
            raise InputError(f"{step.name} works on a list, but {step.options.input!r} is {type(found).__name__}")
        return found

    def mapped(event: Event) -> list[Any]:
        return [subject(item) for item in items(event)]

    async def mapped_async(event: Event) -> list[Any]:
        return [await subject(item) for item in items(event)]

    plain = replace(step, options=replace(step.options, input="", result=""))
    assert takes_event(mapped)
    return each(plain, mapped_async if is_async(subject) else mapped, put)
