"""Events on their way to a part and back, as bytes that only our own replicas read.

Each event is packed alone, so that one that cannot travel fails alone.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from ...runtime.errors import InputError
from ...runtime.failure import Failure, failure_of
from .event import Event
from .ports import Predictor

RUN, WARM, EXPLAIN = "run", "warm", "explain"
# True in a task that rehearses: what it asks is kept for replicas that come later.
WARMING: ContextVar[bool] = ContextVar("eagleray.warming", default=False)


def packed_event(event: Event) -> bytes:
    """What a step may read of the event; raises `InputError` for a body or value that cannot travel."""
    told = (event.id, event.body, event.values, event.names, event.row, event.score, event.contributions)
    try:
        return dumps((*told, event.origin, event.is_dry))
    except Exception as error:  # noqa: BLE001 - whatever a user's object raises when it is pickled
        raise InputError(
            f"what the step is given cannot travel to its replicas ({error}): let the step before make plain values"
        ) from None


def opened_event(packed: bytes) -> Event:
    """The event as the part works on it."""
    name, body, values, names, row, score, contributions, origin, is_dry = pickle.loads(packed)
    event = Event(body, name)
    event.values, event.names, event.row = values, names, row
    event.score, event.contributions, event.origin, event.is_dry = score, contributions, origin, is_dry
    return event


def packed_answer(event: Event, scorers: Mapping[int, str]) -> bytes:
    """What has become of the event; `scorers` are the names of predict steps by the identity of their models."""
    try:
        return dumps(_outcome(event, scorers))
    except Exception as error:  # noqa: BLE001 - whatever a user's object raises when it is pickled
        event.children = None
        event.error = TypeError(f"what the step made cannot travel back ({error}): let it make plain values")
        return dumps(_outcome(event, scorers))


def _outcome(event: Event, scorers: Mapping[int, str]) -> tuple[Any, ...]:
    if event.error is not None:
        import cloudpickle

        return cloudpickle.dumps(failure_of(event.error)), event.step
    children = None
    if event.children is not None:
        children = [(one.id, one.origin, _outcome(one, scorers)) for one in event.children]
    scorer = scorers.get(id(event.model))
    state = (event.body, event.values, event.names, event.row, event.score, event.contributions)
    return (*state, scorer, event.is_dropped, children)


def take_answer(event: Event, packed: bytes, models: Mapping[str, Predictor]) -> None:
    """Makes the event what it has become in the part; `models` stand here for those that score there."""
    _take(event, pickle.loads(packed), models)


def _take(event: Event, outcome: tuple[Any, ...], models: Mapping[str, Predictor]) -> None:
    if len(outcome) == 2:
        failure: Failure = pickle.loads(outcome[0])
        event.error, event.step = failure.as_raised(), outcome[1]
        return
    event.body, event.values, event.names, event.row, event.score, event.contributions = outcome[:6]
    scorer, event.is_dropped, children = outcome[6:]
    if scorer is not None:
        event.model = models[scorer]
    if children is not None:
        event.children = []
        for name, origin, inner in children:
            child = Event({}, name)
            child.model, child.origin, child.is_dry = event.model, origin, event.is_dry
            _take(child, inner, models)
            event.children.append(child)


def leaves(events: Sequence[Event]) -> list[Event]:
    """Those that are still under way or have failed: the events, or what was made of them."""
    found = []
    for event in events:
        if event.children is not None:
            found += leaves(event.children)
        elif not event.is_dropped:
            found.append(event)
    return found


def dumps(value: Any) -> bytes:
    """Pickled; objects of classes that another process cannot import travel with their class."""
    try:
        return pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001 - a class of a script or a notebook, say
        import cloudpickle

        found: bytes = cloudpickle.dumps(value)
        return found
