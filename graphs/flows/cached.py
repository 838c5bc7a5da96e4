"""A function whose results are kept for a while: the used last, in this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import orjson

from . import paths
from .event import Event
from .step_options import CacheRule
from .subjects import is_async, takes_event

_KEYS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
Clock = Callable[[], float]


def cached(subject: Callable[..., Any], rule: CacheRule, *, clock: Clock = time.monotonic) -> Callable[..., Any]:
    """`subject` behind a cache; errors are not kept, and of an async function calls on their way are shared."""
    key = _key(rule)
    kept = _Kept(rule, clock)
    if not is_async(subject):

        def call(given: Any) -> Any:
            name = key(given)
            found = kept.get(name)
            return found[0] if found is not None else kept.put(name, subject(given))

        return _like(call, subject)
    coming: dict[Hashable, asyncio.Future[Any]] = {}

    async def call_async(given: Any) -> Any:
        name = key(given)
        found = kept.get(name)
        if found is not None:
            return found[0]
        if name in coming:
            return await asyncio.shield(coming[name])
        future = coming[name] = asyncio.ensure_future(subject(given))
        try:
            return kept.put(name, await asyncio.shield(future))
        finally:
            coming.pop(name, None)

    return _like(call_async, subject)


class _Kept:
    """The results, each with the moment it is too old."""

    def __init__(self, rule: CacheRule, clock: Clock) -> None:
        self._rule = rule
        self._clock = clock
        self._results: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Hashable) -> tuple[Any] | None:
        with self._lock:
            found = self._results.get(name)
            if found is None:
                return None
            if found[0] <= self._clock():
                del self._results[name]
                return None
            self._results.move_to_end(name)
            return (found[1],)

    def put(self, name: Hashable, result: Any) -> Any:
        with self._lock:
            self._results[name] = (self._clock() + self._rule.ttl_s, result)
            self._results.move_to_end(name)
            if len(self._results) > self._rule.max_entries:
                self._results.popitem(last=False)
        return result


def _key(rule: CacheRule) -> Callable[[Any], Hashable]:
    if callable(rule.key):
        chosen = rule.key
        return lambda given: _hashable(chosen(given))
    if rule.key:
        fields = [tuple(field.split(".")) for field in rule.key]
        return lambda given: _hashable([paths.get(_plain(given), field) for field in fields])
    return lambda given: _hashable(_plain(given))


def _plain(given: Any) -> Any:
    return given.body if isinstance(given, Event) else given


def _hashable(value: Any) -> Hashable:
    """Bytes that are equal for equal values only: 1, 1.0, true and "1" are four keys."""
    return orjson.dumps(value, option=_KEYS, default=repr)


def _like(call: Callable[..., Any], subject: Any) -> Callable[..., Any]:
    """`call`, asking for the event where the function behind it does."""
    if takes_event(subject):
        call.__annotations__ = {"given": Event}
    return call
