"""A function behind HTTP: its hints parse the body, its result becomes JSON, Arrow, or events as it yields."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from ...runtime.call_options import CallOptions
from ...runtime.errors import InputError
from ...runtime.stateful import Stateful
from ..calls.frames import kind_of
from ..calls.pydantic_signature import Arguments, Signature
from ..calls.runner import Runner
from .arrow_stream import from_stream, to_stream
from .content_types import ARROW, JSON
from .http_app import Events, Exchange, HttpApp, HttpFace, HttpOptions, Reply
from .openapi import document, operation

Travelled = tuple[Callable[..., Any], dict[str, Any]]
"""A function and its hints."""
_THREADS = 8  # of a function; a class with state has one, for its object may not be made for several


def function_app(
    fn: Callable[..., Any], options: CallOptions, http: HttpOptions, *, hints: Mapping[str, Any] | None = None
) -> HttpApp:
    """The function's application: POST its arguments, by name, to its name. A class is set up here.

    `hints` are given where the function has travelled (see `Signature.of`). Raises `DefinitionError` for hints that
    cannot be read, and whatever a class's setup raises.
    """
    signature = Signature.of(fn, hints=hints)
    called = fn.ready() if isinstance(fn, Stateful) else fn
    threads = options.concurrency or (1 if isinstance(fn, Stateful) else _THREADS)
    runner = Runner(called, threads=threads)
    routes = _Routes(called, signature, runner)

    def close() -> None:
        runner.close()
        if isinstance(fn, Stateful):
            fn.close()

    face = HttpFace(
        name=options.name,
        posts={"": routes.stream if routes.is_stream else routes.answer},
        spec=function_document(options.name, fn, signature, version=http.version),
        options=http,
        close=close,
    )
    return HttpApp(face)


def travelled_app(called: Travelled, options: CallOptions, http: HttpOptions) -> HttpApp:
    """The application of a function that was written elsewhere and came with its hints."""
    fn, hints = called
    return function_app(fn, options, http, hints=hints)


def function_document(name: str, fn: Callable[..., Any], signature: Signature, *, version: str) -> dict[str, Any]:
    """The function as OpenAPI 3.1."""
    described = inspect.getdoc(fn.cls if isinstance(fn, Stateful) else fn) or ""
    summary = described.partition("\n")[0].rstrip(".") or f"Call {name}"
    post = operation(summary, signature.schema, signature.result_schema)
    return document(name, {"": {"post": post}}, description=described, version=version)


class _Routes:
    """The handler of one function."""

    def __init__(self, fn: Callable[..., Any], signature: Signature, runner: Runner) -> None:
        self._fn = fn
        self._signature = signature
        self._runner = runner
        self._frame = next((one.name for one in signature.parameters if kind_of(one.hint) is not None), "")
        self.is_stream = inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)

    async def answer(self, body: bytes, exchange: Exchange) -> Reply:
        args, kwargs = self._arguments(body, exchange)
        result = await self._runner.call(args, kwargs)
        if ARROW in exchange.header(b"accept") and kind_of(type(result)) is not None:
            return ARROW, to_stream(result)
        return JSON, self._signature.dump_json(result)

    async def stream(self, body: bytes, exchange: Exchange) -> Events:
        args, kwargs = self._arguments(body, exchange)
        made: Any = self._fn(*args, **kwargs)
        return Events(self._written(made if inspect.isasyncgenfunction(self._fn) else _threaded(made)))

    def _arguments(self, body: bytes, exchange: Exchange) -> Arguments:
        if not exchange.header(b"content-type").startswith(ARROW):
            return self._signature.parse_json(body)
        if not self._frame:
            raise InputError(f"{self._signature.name} takes no table: send its arguments as a JSON object")
        query = parse_qs(exchange.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        return self._signature.parse_texts(query, **{self._frame: from_stream(body)})

    async def _written(self, values: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(values):  # also when the client has left
            async for value in values:
                yield self._signature.dump_item(value)


async def _threaded(values: Iterator[Any]) -> AsyncGenerator[Any, None]:
    """A generator's values, each made in a thread, for it may take its time."""
    loop = asyncio.get_running_loop()
    end = object()
    try:
        while True:
            value = await loop.run_in_executor(None, partial(next, values, end))
            if value is end:
                return
            yield value
    finally:
        close = getattr(values, "close", None)
        if close is not None:
            close()
