"""A file's functions and graphs over HTTP in this process, loaded anew when the file is saved: for writing them.

A file that cannot be loaded leaves what was there before at work, and says so in one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from ..runtime.asgi import Message, Receive, Send
from ..runtime.bundle import is_local
from ..runtime.errors import EaglerayError
from .function import Function
from .http.function_app import function_app
from .http.http_app import HttpApp, HttpOptions
from .http.problem import CONTENT_TYPE, Problem
from .loading import servables_of


class DevServer:
    """An ASGI application for "FILE.py" (all its functions and graphs) or "FILE.py:FN"; `say` is told what was loaded.

    Raises what loading raises the first time; later a failure is only said.
    """

    def __init__(self, target: str, *, say: Callable[[str], None]) -> None:
        self._target = target
        self._say = say
        self._apps: dict[str, HttpApp] = _apps(target)

    @property
    def names(self) -> tuple[str, ...]:
        """The functions and graphs that are served."""
        return tuple(self._apps)

    @property
    def folder(self) -> Path:
        """Where a saved file may change what is served."""
        return Path(self._target.partition(".py")[0]).resolve().parent

    async def reload_on(self, changes: AsyncIterator[Any]) -> None:
        """Loads the file anew after each change."""
        async for _ in changes:
            # In a thread: a class may take its time to set up, and requests go on meanwhile.
            await asyncio.to_thread(self.reload)

    def reload(self) -> bool:
        """Loads the file anew; False where that failed and the functions are those of before."""
        _forget(self.folder)
        try:
            made = _apps(self._target)
        except Exception as error:  # noqa: BLE001 - a file that is being written may raise anything
            self._say(f"not loaded, the earlier version goes on: {_told(error, self.folder)}")
            return False
        earlier, self._apps = self._apps, made
        for app in earlier.values():
            app.close()
        self._say(f"loaded: {', '.join(self.names)}")
        return True

    def close(self) -> None:
        """Closes what the functions had opened."""
        for app in self._apps.values():
            app.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        name = scope["path"].strip("/").partition("/")[0]
        app = self._apps.get(name)
        if app is not None:
            await app(scope, receive, send)
        elif scope["path"] == "/":
            await _send(send, 200, b"text/html; charset=utf-8", self._index())
        else:
            known = ", ".join(f"/{one}" for one in self._apps)
            problem = Problem(404, f"no {scope['path']!r} here; there are {known}")
            await _send(send, 404, CONTENT_TYPE, problem.body(""))

    def _index(self) -> bytes:
        links = "".join(f'<li><a href="/{html.escape(name)}/docs">{html.escape(name)}</a>' for name in self._apps)
        return f"<!doctype html><meta charset=utf-8><title>eagleray</title><ul>{links}</ul>".encode()


def _apps(target: str) -> dict[str, HttpApp]:
    made: dict[str, HttpApp] = {}
    http = HttpOptions(version="dev")
    with _without_bytecode():
        servables = servables_of(target)
    for found in servables:
        if isinstance(found, Function):
            made[found.spec.name] = function_app(found.callable, found.spec, http)
        else:
            made[found.name] = found.http_app(http)
    return made


@contextlib.contextmanager
def _without_bytecode() -> Iterator[None]:
    """Compiled files are told from old ones by seconds and size: of two saves within a second they are the first's."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _forget(folder: Path) -> None:
    """The user's own modules in the folder are imported anew with the file."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and folder in Path(file).parents and is_local(name):
            del sys.modules[name]


def _told(error: Exception, folder: Path) -> str:
    """The error with its place in the user's files."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, EaglerayError):
        return said
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or '').name}:{error.lineno}: {type(error).__name__}: {error.msg}"
    trace, place = error.__traceback__, ""
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if folder in path.parents:
            place = f"{path.name}:{trace.tb_lineno}: "
        trace = trace.tb_next
    return f"{place}{type(error).__name__}: {said}"


async def _send(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
