"""The stage of a state step: what is remembered of each key, read and written once for all events of a batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import InputError, StorageError
from . import paths
from .event import Batch, Body, Event
from .state_record import Record, check_plain, packed_state, unpacked
from .states import Exchange, StateStore
from .step import Step

MOST_ATTEMPTS = 100  # at least one of those who compete for a key gets it each time
GONE_MS = 60_000  # how long it is remembered that a state was given up: as long as somebody may be writing to it


@dataclass(frozen=True, slots=True)
class _Made:
    """What one attempt has made of an event: a new body, or an error."""

    event: Event
    body: Body
    error: Exception | None = None
    is_done: bool = False


class Stateful:
    """Calls `function(state, body)` once an event, the events of a key in their order."""

    def __init__(self, graph: str, step: Step, function: Callable[[Any, Any], Any], states: StateStore) -> None:
        assert step.options.state is not None
        self._rule = step.options.state
        self._name = step.name
        self._head = f"{graph}:{step.name}:"
        self._function = function
        self._states = states

    def __call__(self, batch: Batch) -> None:
        groups: dict[str, list[Event]] = {}
        for event in batch.events:
            try:
                groups.setdefault(self._key(event), []).append(event)
            except InputError as error:
                batch.fail(event, error, self._name)
        for _ in range(MOST_ATTEMPTS):
            groups = self._attempt(batch, groups)
            if not groups:
                break
        for key, events in groups.items():
            problem = StorageError(f"{key}: others wrote it each of {MOST_ATTEMPTS} times; spread the work over keys")
            for event in events:
                batch.fail(event, problem, self._name)
        # Whoever still works on what another worker has done is too late: no step behind this one may see it again.
        if any(event.is_dropped for event in batch.events):
            batch.keep([event for event in batch.events if not event.is_dropped])

    def _attempt(self, batch: Batch, groups: dict[str, list[Event]]) -> dict[str, list[Event]]:
        """Works on the keys; those that somebody else was quicker with."""
        exchanges, waiting = [], []
        for (key, events), stored in zip(groups.items(), self._states.read(list(groups)), strict=True):
            record = Record.of(stored)
            seen, before = record.tag, record.state
            made, is_new = self._worked(record, events)
            is_unchanged = not is_new or (record.state == before and not record.results)
            if is_unchanged or events[0].is_dry:  # an explanation's events are all of them dry
                _settle(batch, made, self._name)
                continue
            ttl_ms = round(1000 * self._rule.ttl_s) if self._rule.ttl_s is not None else 0
            if not record.is_needed:
                ttl_ms = GONE_MS
            exchanges.append(Exchange(key, seen, record.packed(), ttl_ms))
            waiting.append(made)
        if not exchanges:
            return {}
        lost = {}
        for one, made, done in zip(exchanges, waiting, self._states.exchange(exchanges), strict=True):
            if done:
                _settle(batch, made, self._name)
            else:
                lost[one.key] = groups[one.key]
        return lost

    def _worked(self, record: Record, events: list[Event]) -> tuple[list[_Made], bool]:
        """What the function makes of a key's events; whether any of them was new."""
        made, is_new = [], False
        for event in events:
            origin = event.origin
            body = dict(event.body)  # the function may run again, so what it does to the body must not stay
            try:
                if origin is not None and record.is_done(origin):
                    made.append(_Made(event, event.body, is_done=True))
                    continue
                known = None if origin is None else record.known(origin)
                if known is not None:
                    made.append(_Made(event, event.body if known[0] is None else known[0]))
                    continue
                state, found = self._call(record, body)
                if origin is not None:
                    check_plain(found, step=self._name)
                    record.note(origin, None if found == event.body else found)
            except Exception as error:  # noqa: BLE001 - it is the event's own end
                made.append(_Made(event, event.body, error))
                continue
            record.state, is_new = state, True
            made.append(_Made(event, found))
        return made, is_new

    def _call(self, record: Record, body: Body) -> tuple[bytes, Body]:
        """The new state, packed, and the new body."""
        # Each call gets a state of its own: what it keeps of it, or spoils before it fails, is nobody else's.
        result = self._function(unpacked(record.state) if record.state else {}, body)
        if not isinstance(result, tuple) or len(result) != 2:
            kind = type(result).__name__
            raise TypeError(f"step {self._name!r} returned {kind}; return the new state and the new body (or None)")
        state, found = result
        if found is not None and not isinstance(found, dict):
            raise TypeError(f"step {self._name!r} gave {type(found).__name__} as the new body; give a dict, or None")
        packed = b"" if state is None else packed_state(state, step=self._name)
        return packed, body if found is None else found

    def _key(self, event: Event) -> str:
        value = paths.get(event.body, self._rule.path)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise InputError(f"{'.'.join(self._rule.path)!r} must be text or a whole number, got {value!r}"[:500])
        # As JSON, so that 7 and "7" are two; in braces, which a cluster places a key by.
        return f"{self._head}{{{json.dumps(value)}}}"


def _settle(batch: Batch, made: list[_Made], step: str) -> None:
    for one in made:
        if one.is_done:
            one.event.is_dropped = True
        elif one.error is None:
            one.event.body = one.body
        else:
            batch.fail(one.event, one.error, step)
