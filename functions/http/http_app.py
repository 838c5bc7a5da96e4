"""The HTTP face of a service: a bare ASGI object, because a framework's share of a request is larger than the work's.

What a service answers is a table of handlers; the rest, from request ids to back-pressure, is the same for all.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from .access_log import AccessLog
from .api_keys import ApiKeys
from .content_types import EVENTS, JSON
from .forward import VERSION_HEADER
from .http_metrics import HttpMetrics
from .load_meter import LoadMeter
from .openapi import page
from .problem import CONTENT_TYPE, Problem, Refused, problem_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 4 << 20
MAX_IN_FLIGHT = 1000
_ID_BYTES = 128
_CLOCK_DIGITS = 20  # int() refuses endless ones, and takes its time for long ones
_OPEN = frozenset(("/health", "/ready"))  # what watches a service asks without a key
_METRICS = b"text/plain; version=0.0.4; charset=utf-8"


class Exchange:
    """One request as a handler sees it; it sets `step` to what runs or failed and `input` to what that was given, and
    `headers` the answer has besides.

    `route` is the path below the service's name.
    """

    __slots__ = ("headers", "input", "request_id", "route", "scope", "step")

    def __init__(self, scope: Message, request_id: str) -> None:
        self.scope = scope
        self.request_id = request_id
        self.route = ""
        self.step = ""
        self.input = ""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()

    def header(self, wanted: bytes) -> bytes:
        """A request header by its lower-case name; empty where it is not there."""
        for name, value in self.scope["headers"]:
            if name == wanted:
                found: bytes = value
                return found
        return b""


@dataclass(frozen=True, slots=True)
class Events:
    """An answer that comes piece by piece: each a JSON document, sent as a server-sent event."""

    pieces: AsyncGenerator[bytes, None]


Reply = tuple[bytes, bytes]
"""Content type and body."""
Handler = Callable[[bytes, Exchange], Awaitable[Reply | Events]]
"""Answers the body of a POST; what it raises becomes a problem document."""


def problem_reply(problem: Problem, exchange: Exchange) -> Reply:
    """An error as most routes tell it: a problem document."""
    return CONTENT_TYPE, problem.body(exchange.request_id)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """`body_bytes` a request (413), `in_flight` requests at once in a process (503), `timeout_s` for one (504)."""

    body_bytes: int = MAX_BODY_BYTES
    in_flight: int = MAX_IN_FLIGHT
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Every answer carries `version`, and the request's id: the caller's, else a new one.

    With `access_log` each request is a line of JSON on the standard output.
    """

    version: str = ""
    limits: HttpLimits = field(default_factory=HttpLimits)
    keys: ApiKeys = field(default_factory=ApiKeys)
    access_log: bool = False


@dataclass(frozen=True, slots=True)
class HttpFace:
    """What is served: handlers by route below the service's name ("" is the name itself), and its description.

    `pages` answer GET at routes besides those that every service has; those of `open_pages` need no key. `tell` gives
    an error as the route's protocol has it. `configure` takes the settings that change while it runs, `warm_up` is done
    before the first request.
    """

    name: str
    posts: Mapping[str, Handler]
    spec: Mapping[str, Any]
    pages: Mapping[str, Callable[[], Reply]] = field(default_factory=dict)
    open_pages: frozenset[str] = frozenset()
    tell: Callable[[Problem, Exchange], Reply] = problem_reply
    options: HttpOptions = field(default_factory=HttpOptions)
    close: Callable[[], None] = lambda: None
    configure: Callable[[Mapping[str, Any]], None] = lambda _: None
    warm_up: Callable[[], Awaitable[None]] | None = None


class HttpApp:
    """POST to the face's routes; GET /health, /ready, /metrics, /docs, /openapi.json below the service's name.

    Errors are problem documents: 400 malformed, 401, 404, 405, 413 too large, 422 does not fit, 503 full, 504 too slow,
    5xx ours.
    """

    def __init__(self, face: HttpFace) -> None:
        self._face = face
        self._options = face.options
        self._prefix = f"/{face.name}"
        self._meter = LoadMeter(time.time_ns() // 1_000)
        version = face.options.version
        self._metrics = HttpMetrics(face.name, version)
        self._log = AccessLog(face.name, version) if face.options.access_log else None
        self._own = [(VERSION_HEADER.encode(), version.encode())] if version else []
        self._open = face.open_pages | _OPEN
        pages = {
            "/health": (JSON, b'{"status":"alive"}'),
            "/ready": (JSON, orjson.dumps({"status": "ready", "name": face.name, "version": version})),
            "/openapi.json": (JSON, orjson.dumps(face.spec)),
            "/docs": (b"text/html; charset=utf-8", page(face.spec)),
        }
        self._pages = {route: partial(_same, reply) for route, reply in pages.items()} | dict(face.pages)
        self._pages["/metrics"] = lambda: (_METRICS, self._metrics.text(self._meter.active))

    @property
    def limits(self) -> HttpLimits:
        """What it takes at most."""
        return self._options.limits

    def in_flight(self) -> float:
        """The mean number of requests in flight since the last call; the autoscaler's measure."""
        return self._meter.mean(time.time_ns() // 1_000)

    def configure(self, live: Mapping[str, Any]) -> None:
        """Other settings, from the next request on."""
        self._face.configure(live)

    async def warm_up(self) -> None:
        """What is done before the first request; raises what is wrong."""
        if self._face.warm_up is not None:
            await self._face.warm_up()

    def close(self) -> None:
        """Closes what the service had opened."""
        self._face.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        request_id = b""
        arrived_us = 0
        length = key = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value
            elif name == b"x-request-start":
                arrived_us = int(value) if len(value) < _CLOCK_DIGITS and value.isdigit() else 0
            elif name == b"content-length":
                length = value
            elif name == b"authorization" or name == b"x-api-key":
                key = value
        if not request_id or len(request_id) > _ID_BYTES or not request_id.isascii():
            request_id = uuid.uuid4().hex.encode()
        began_us = time.time_ns() // 1_000
        self._meter.begin(began_us, arrived_us)
        exchange = Exchange(scope, request_id.decode("ascii"))
        status = 500
        try:
            headers = [(b"x-request-id", request_id), *self._own]
            try:
                reply = await self._reply(exchange, receive, length, key)
                status = 200
            except Refused as refused:
                reply = self._problem(refused.problem, exchange, headers)
                status = refused.problem.status
            except Exception as error:  # noqa: BLE001 - a user's code may raise anything, and the client is owed an answer
                problem = problem_of(error, exchange.step, exchange.input)
                reply = self._problem(problem, exchange, headers)
                status = problem.status
            if type(reply) is Events:
                await self._send_events(reply, exchange, (receive, send), headers)
            else:
                content_type, body = reply  # type: ignore[misc] # no Events
                headers += exchange.headers
                headers += ((b"content-type", content_type), (b"content-length", b"%d" % len(body)))
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
        finally:
            ended_us = time.time_ns() // 1_000
            self._meter.end(ended_us)
            self._metrics.observe(status, ended_us - began_us)
            if self._log is not None:
                self._log.write(scope, exchange.request_id, status, began_us=began_us, ended_us=ended_us)

    async def _reply(self, exchange: Exchange, receive: Receive, length: bytes, key: bytes) -> Reply | Events:
        options, scope = self._options, exchange.scope
        route = exchange.route = scope["path"].removeprefix(scope.get("root_path") or self._prefix).rstrip("/")
        if options.keys and route not in self._open and not options.keys.accept(key):
            raise Refused(Problem(401, "no valid API key; send it as 'authorization: Bearer KEY'"))
        handler = self._face.posts.get(route)
        if handler is None:
            return self._page(route, scope)
        _require(scope["method"], "POST")
        if self._meter.active > options.limits.in_flight:
            raise Refused(Problem(503, f"{options.limits.in_flight} requests are in flight here; ask again", retry_s=1))
        body = await _read(receive, length, options.limits.body_bytes)
        if options.limits.timeout_s is None:
            return await handler(body, exchange)
        try:
            async with asyncio.timeout(options.limits.timeout_s) as limit:
                return await handler(body, exchange)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Refused(
                Problem(504, f"no answer within {options.limits.timeout_s:g} s; ask for less at once")
            ) from None

    def _page(self, route: str, scope: Message) -> Reply:
        page_of = self._pages.get(route)
        if page_of is None:
            known = ", ".join(f"{self._prefix}{path}" for path in (*self._face.posts, *self._pages))
            raise Refused(Problem(404, f"no {scope['path']!r} here; there are {known}"))
        _require(scope["method"], "GET")
        return page_of()

    def _problem(self, problem: Problem, exchange: Exchange, headers: list[tuple[bytes, bytes]]) -> Reply:
        headers += problem.headers()
        return self._face.tell(problem, exchange)

    async def _send_events(
        self, events: Events, exchange: Exchange, channel: tuple[Receive, Send], headers: list[tuple[bytes, bytes]]
    ) -> None:
        receive, send = channel
        headers += ((b"content-type", EVENTS), (b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        left = asyncio.ensure_future(receive())  # after the body nothing can come but the news that the client has left
        try:
            async with aclosing(events.pieces) as pieces:
                async for piece in pieces:
                    if left.done():
                        return
                    await send({"type": "http.response.body", "body": b"data: %b\n\n" % piece, "more_body": True})
        except Exception as error:  # noqa: BLE001 - the head is sent: the error can only be told as an event
            told = problem_of(error, exchange.step).body(exchange.request_id)
            await send({"type": "http.response.body", "body": b"event: error\ndata: %b\n\n" % told, "more_body": True})
        finally:
            left.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _same(reply: Reply) -> Reply:
    return reply


def _require(method: str, wanted: str) -> None:
    if method != wanted and not (wanted == "GET" and method == "HEAD"):
        raise Refused(Problem(405, f"{method} is not for this path; use {wanted}", allow=wanted))


async def _read(receive: Receive, length: bytes, limit: int) -> bytes:
    """The request's body; refused once it is known to be too large, not after it was read."""
    size = int(length) if length.isdigit() else 0
    message = await receive() if size <= limit else {}
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts = [body]
        size = len(body)
        while message.get("more_body") and size <= limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(Problem(400, "the body ended early; send all of it"))
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        body = b"".join(parts)
    if max(size, len(body)) > limit:
        raise Refused(Problem(413, f"a body of more than {limit} bytes; send the data in parts"))
    return body
