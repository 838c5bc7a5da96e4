"""A graph behind HTTP: bodies become events, events go through the flow together, answers become JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from ...functions.content_types import JSON
from ...functions.http_app import Exchange, HttpApp, HttpFace, HttpOptions, Reply
from ...functions.problem import Problem, Refused
from ..flows.compile import Compiled
from ..flows.event import Batch
from ..flows.flow import Flow
from .gather import Gatherer
from .openapi import graph_document

MAX_EVENTS = 10_000
_WRITE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def graph_app(
    compiled: Compiled,
    http: HttpOptions,
    *,
    request_types: dict[str, str] | None = None,
    worked: Callable[[], None] = lambda: None,
) -> HttpApp:
    """The graph's application: POST an event or a list of them to its name, or to /explain below it.

    `worked` is called after each request.
    """
    routes = _Routes(compiled.flow, worked)
    face = HttpFace(
        name=compiled.flow.name,
        posts={"": routes.answer, "/explain": routes.explain},
        spec=graph_document(compiled.flow, request_types=request_types, version=http.version),
        options=http,
        close=compiled.close,
    )
    return HttpApp(face)


class _Routes:
    """The handlers of one flow."""

    def __init__(self, flow: Flow, worked: Callable[[], None]) -> None:
        self._flow = flow
        self._worked = worked
        self._gatherer = Gatherer(flow)

    async def answer(self, body: bytes, exchange: Exchange) -> Reply:
        data, batch = _events(body, exchange)
        try:
            answers = await self._gatherer.run(batch)
        except Exception:
            exchange.step = batch.step
            raise
        finally:
            self._worked()
        return JSON, orjson.dumps(answers if type(data) is list else answers[0], option=_WRITE)

    async def explain(self, body: bytes, exchange: Exchange) -> Reply:
        data, batch = _events(body, exchange)
        try:
            answers = await self._flow.explain(batch)
        except Exception:
            exchange.step = batch.step
            raise
        return JSON, orjson.dumps(answers if type(data) is list else answers[0], option=_WRITE)


def _events(body: bytes, exchange: Exchange) -> tuple[Any, Batch]:
    data = _parsed(body)
    return data, Batch.of(data if type(data) is list else [data], exchange.request_id)


def _parsed(body: bytes) -> Any:
    """An object, or a list of objects; anything else is refused."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(Problem(400, f"the body is no JSON ({error}); send one object or a list of objects")) from None
    if type(data) is dict:
        return data
    if type(data) is not list or not data:
        raise Refused(Problem(400, f"the body is {_kind(data)}; send one object or a list of objects"))
    for place, item in enumerate(data):
        if type(item) is not dict:
            raise Refused(Problem(400, f"item {place} of the list is {_kind(item)}; send objects"))
    if len(data) > MAX_EVENTS:
        raise Refused(Problem(413, f"{len(data)} events in one request; send at most {MAX_EVENTS}"))
    return data


def _kind(value: Any) -> str:
    if value == []:
        return "an empty list"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
