"""What a graph answers for an event, and how an event's input looks in an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .event import Event
from .reasons import FIELDS
from .step import Step, walk
from .subjects import takes_event

_MOST_FIELDS = 12


def answering(steps: Sequence[Step]) -> Callable[[Event], dict[str, Any]]:
    """The graph's answer: its id, its score where it predicts, and what the respond step selects.

    A graph that neither predicts nor selects answers with the whole body. Steps that end in a queue answer that it is
    queued, and with what is selected as far as it is there already.
    """
    respond = next((step for step in steps if step.kind == "respond"), None)
    function: Callable[..., Any] | None = None if respond is None else respond.subject
    fields = () if respond is None else respond.fields
    predicts = any(step.kind == "predict" for step in walk(steps))
    is_queued = any(step.kind == "queue" for step in steps)
    is_whole = not (predicts or fields or function or is_queued)
    wants_event = function is not None and takes_event(function)

    def whole(event: Event) -> dict[str, Any]:
        return {"id": event.id, **event.body}

    def answer(event: Event) -> dict[str, Any]:
        found: dict[str, Any] = {"id": event.id}
        if predicts or event.score is not None:  # scored before a queue, perhaps
            found["score"] = event.score
        if event.contributions is not None:
            found |= {key: event.values[key] for key in ("contributions", "base_value", *FIELDS) if key in event.values}
        if fields:
            values, body = event.values, event.body
            for field in fields:
                found[field] = values[field] if field in values else body.get(field)
        if is_queued:
            found["queued"] = True
            if "tails" in event.values:
                found["tails"] = event.values["tails"]
        elif function is not None:
            found |= function(event if wants_event else event.body)
        return found

    return whole if is_whole else answer


def shape(body: Any) -> str:
    """The fields of a body and their types, never their values: {amount: float, card: {id: str}}."""
    if isinstance(body, Mapping):
        shown = [f"{name}: {shape(value)}" for name, value in list(body.items())[:_MOST_FIELDS]]
        return "{" + ", ".join([*shown, *(["..."] if len(body) > _MOST_FIELDS else [])]) + "}"
    if isinstance(body, list | tuple):
        return f"[{len(body)} x {shape(body[0])}]" if body else "[]"
    found = getattr(body, "shape", None)
    return f"{type(body).__name__}{list(found)}" if isinstance(found, tuple) else type(body).__name__
