"""A graph behind HTTP: bodies become events, events go through the flow together, answers become JSON or Arrow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from ...functions.http.arrow_stream import from_stream, to_stream
from ...functions.http.content_types import ARROW, JSON
from ...functions.http.http_app import Exchange, HttpApp, HttpFace, HttpOptions, Reply
from ...functions.http.problem import Problem, Refused, problem_of
from ...runtime.errors import DeploymentError
from ..flows.answer import shape
from ..flows.compile import Compiled
from ..flows.event import Batch
from ..flows.flow import Flow
from ..flows.tuning import Change, apply
from .answers import columns_of, even, rows_of
from .gather import Answers, Gatherer
from .live_figures import LiveFigures
from .openapi import graph_document
from .v2_describe import described
from .v2_http import MAX_EVENTS, Inference

_WRITE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def graph_app(
    compiled: Compiled,
    http: HttpOptions,
    *,
    request_types: dict[str, str] | None = None,
    live: LiveFigures | None = None,
    changes: Mapping[str, Change] | None = None,
    warm_up: Sequence[Mapping[str, Any]] = (),
) -> HttpApp:
    """The graph's application: POST an event, a list of them or a table to its name, or to /explain below it; below
    /v2 it speaks the Open Inference Protocol.

    `request_types` are fields of requests with their types, beside those that the graph tells. `live` hears of each
    request; `changes` are what settings can change, by step; the bodies of `warm_up` are answered before the first one.
    """
    asked = dict(compiled.asked) | (request_types or {})
    told = described(compiled.flow, asked, version=http.version)
    routes = _Routes(compiled.flow, _idle if live is None else live.worked)
    inference = Inference(told, routes.run)
    face = HttpFace(
        name=compiled.flow.name,
        posts={"": routes.answer, "/explain": routes.explain} | inference.posts(),
        spec=graph_document(compiled.flow, told, request_types=asked, version=http.version),
        pages=inference.pages(),
        open_pages=inference.open_pages(),
        tell=inference.tell,
        options=http,
        close=compiled.close,
        configure=lambda settings: apply(changes or {}, settings),
        warm_up=(lambda: _rehearse(compiled.flow, warm_up)) if warm_up else None,
    )
    return HttpApp(face)


def _idle() -> None:
    """Nobody asks how the steps do."""


async def _rehearse(flow: Flow, bodies: Sequence[Mapping[str, Any]]) -> None:
    try:
        await flow.warm_up(bodies)
    except Exception as error:
        told = problem_of(error, "")
        raise DeploymentError(f"the warm-up of {flow.name!r} failed: {told.detail}") from error


class _Routes:
    """The handlers of one flow."""

    def __init__(self, flow: Flow, worked: Callable[[], None]) -> None:
        self._flow = flow
        self._worked = worked
        self._gatherer = Gatherer(flow)

    async def run(self, batch: Batch, exchange: Exchange) -> Answers:
        """The batch's answers."""
        try:
            return await self._gatherer.run(batch)
        except Exception:
            _tell(exchange, batch)
            raise
        finally:
            self._worked()

    async def answer(self, body: bytes, exchange: Exchange) -> Reply:
        return await _answered(body, exchange, self.run)

    async def explain(self, body: bytes, exchange: Exchange) -> Reply:
        return await _answered(body, exchange, self._explained)

    async def _explained(self, batch: Batch, exchange: Exchange) -> Answers:
        try:
            return await self._flow.explain(batch)
        except Exception:
            _tell(exchange, batch)
            raise


def _tell(exchange: Exchange, batch: Batch) -> None:
    """Where it failed, and what the step was given: fields and types, no values."""
    failed = batch.first_failure
    if failed is not None:
        exchange.step, exchange.input = failed.step, shape(failed.body)


async def _answered(body: bytes, exchange: Exchange, run: Callable[[Batch, Exchange], Awaitable[Answers]]) -> Reply:
    is_table = exchange.header(b"content-type").startswith(ARROW)
    data: Any = _rows(body) if is_table else _parsed(body)
    is_many = type(data) is list
    answers = await run(Batch.of(data if is_many else [data], exchange.request_id), exchange)
    if ARROW in exchange.header(b"accept"):
        return ARROW, to_stream(even(columns_of(rows_of(answers))))
    return JSON, orjson.dumps(answers if is_many else answers[0], option=_WRITE)


def _rows(body: bytes) -> list[dict[str, Any]]:
    """An event for each row of an Arrow table."""
    import polars as pl

    rows = pl.DataFrame(pl.from_arrow(from_stream(body))).to_dicts()
    if not rows:
        raise Refused(Problem(400, "the table has no rows; send at least one"))
    return _few(rows)


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
    return _few(data)


def _few(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(events) > MAX_EVENTS:
        raise Refused(Problem(413, f"{len(events)} events in one request; send at most {MAX_EVENTS}"))
    return events


def _kind(value: Any) -> str:
    if value == []:
        return "an empty list"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
