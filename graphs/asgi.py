"""The HTTP face of a graph: a bare ASGI object, because a framework's share of a request is larger than a graph's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import orjson

from .compile import Compiled
from .event import Batch
from .gather import Gatherer
from .load_meter import LoadMeter
from .openapi import document, page
from .problem import CONTENT_TYPE, Problem, problem_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 4 << 20
MAX_EVENTS = 10_000
_ID_BYTES = 128
_JSON = b"application/json"
_WRITE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class _Refused(Exception):
    """A request that cannot reach the graph."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class GraphApp:
    """Below the graph's name: POST / (an event or a list) and /explain; GET /health, /ready, /docs, /openapi.json.

    Every answer carries the request's x-request-id (the caller's, else a new one); without
    `adds_request_id` the server in front does it, as Serve does. Errors are problem documents:
    400 malformed, 404, 405, 413 too large, 422 does not fit, 5xx ours.
    """

    def __init__(
        self, compiled: Compiled, *, request_types: dict[str, str] | None = None, adds_request_id: bool = True
    ) -> None:
        self._compiled = compiled
        self._flow = compiled.flow
        self._adds_request_id = adds_request_id
        self._prefix = f"/{self._flow.name}"
        self._gatherer = Gatherer(self._flow)
        self._meter = LoadMeter(time.time_ns() // 1_000)
        spec = document(self._flow, request_types=request_types)
        self._pages = {
            "/health": (_JSON, b'{"status":"alive"}'),
            "/ready": (_JSON, orjson.dumps({"status": "ready", "graph": self._flow.name})),
            "/openapi.json": (_JSON, orjson.dumps(spec)),
            "/docs": (b"text/html; charset=utf-8", page(spec)),
        }

    def in_flight(self) -> float:
        """The mean number of requests in flight since the last call; the autoscaler's measure."""
        return self._meter.mean(time.time_ns() // 1_000)

    def close(self) -> None:
        """Closes what the flow had opened: taps are flushed, connections given back."""
        self._compiled.close()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        request_id = b""
        arrived_us = 0
        length = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value
            elif name == b"x-request-start":
                with suppress(ValueError):
                    arrived_us = int(value)
            elif name == b"content-length":
                length = value
        if not request_id or len(request_id) > _ID_BYTES or not request_id.isascii():
            request_id = uuid.uuid4().hex.encode()
        self._meter.begin(time.time_ns() // 1_000, arrived_us)
        try:
            status, content_type, body, allow = await self._answer(scope, receive, length, request_id.decode("ascii"))
        finally:
            self._meter.end(time.time_ns() // 1_000)
        # A fresh list each time: Serve's middleware appends to it in place.
        headers = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
        ]
        if self._adds_request_id:
            headers.append((b"x-request-id", request_id))
        if allow:
            headers.append((b"allow", allow.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, scope: MutableMapping[str, Any], receive: Receive, length: bytes, request_id: str
    ) -> tuple[int, bytes, bytes, str]:
        batch = Batch([])
        try:
            route = scope["path"].removeprefix(scope.get("root_path") or self._prefix).rstrip("/")
            if route in ("", "/explain"):
                _require(scope["method"], "POST")
                data = _parsed(await _read(receive, length))
                batch = Batch.of(data if type(data) is list else [data], request_id)
                if route:
                    answers = await self._flow.explain(batch)
                else:
                    answers = await self._gatherer.run(batch)
                return 200, _JSON, orjson.dumps(answers if type(data) is list else answers[0], option=_WRITE), ""
            if route in self._pages:
                _require(scope["method"], "GET")
                return 200, *self._pages[route], ""
            known = ", ".join(f"{self._prefix}{path}" for path in ("", "/explain", *self._pages))
            problem = Problem(404, f"no {scope['path']!r} here; there are {known}")
        except _Refused as refused:
            problem = refused.problem
        except Exception as error:  # noqa: BLE001 - a user's step may raise anything, and the client is owed an answer
            problem = problem_of(error, batch.step)
        return problem.status, CONTENT_TYPE, problem.body(request_id), problem.allow

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _require(method: str, wanted: str) -> None:
    if method != wanted and not (wanted == "GET" and method == "HEAD"):
        raise _Refused(Problem(405, f"{method} is not for this path; use {wanted}", allow=wanted))


async def _read(receive: Receive, length: bytes) -> bytes:
    """The request's body; refused once it is known to be too large, not after it was read."""
    size = int(length) if length.isdigit() else 0
    message = await receive() if size <= MAX_BODY_BYTES else {}
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts = [body]
        size = len(body)
        while message.get("more_body") and size <= MAX_BODY_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(Problem(400, "the body ended early; send all of it"))
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        body = b"".join(parts)
    if max(size, len(body)) > MAX_BODY_BYTES:
        raise _Refused(Problem(413, f"a body of more than {MAX_BODY_BYTES} bytes; send the events in parts"))
    return body


def _parsed(body: bytes) -> Any:
    """An object, or a list of objects; anything else is refused."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _Refused(Problem(400, f"the body is no JSON ({error}); send one object or a list of objects")) from None
    if type(data) is dict:
        return data
    if type(data) is not list or not data:
        raise _Refused(Problem(400, f"the body is {_kind(data)}; send one object or a list of objects"))
    for place, item in enumerate(data):
        if type(item) is not dict:
            raise _Refused(Problem(400, f"item {place} of the list is {_kind(item)}; send objects"))
    if len(data) > MAX_EVENTS:
        raise _Refused(Problem(413, f"{len(data)} events in one request; send at most {MAX_EVENTS}"))
    return data


def _kind(value: Any) -> str:
    if value == []:
        return "an empty list"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
