"""An HTTP server for one ASGI application in an event loop that runs already: uvicorn, one write an answer.

Uvicorn writes an answer's head and body apart; that is two system calls, and two wake-ups of whoever reads them. What
is written in one turn of the loop goes out together here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .asgi import TRAILERS, AsgiApp

# More than this is passed on at once: the socket's own buffer is what tells a fast writer to wait.
_MOST_HELD_BYTES = 64 << 10
_LAST_CHUNK = b"0\r\n\r\n"


Headers = Iterable[tuple[bytes, bytes]]
Started = tuple[asyncio.Task[None], uvicorn.Server]


def start(app: AsgiApp, listening: socket.socket, *, keep_alive_s: int = 5) -> Started:
    """Serves `app` on a bound socket, in the running loop: the task that ends with the server, and the server.

    Setting the server's `should_exit` closes the port and idle connections, and lets requests be answered.
    """
    config = uvicorn.Config(
        cast("Any", app),
        loop="none",
        http=JoinedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=keep_alive_s,
    )
    server = uvicorn.Server(config)
    return asyncio.get_running_loop().create_task(server.serve(sockets=[listening])), server


def become_default() -> None:
    """Servers of uvicorn that are started in this process from now on speak as those of `start` do."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{JoinedProtocol.__name__}"


class JoinedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on a transport that joins writes, with trailers, which uvicorn does not write in HTTP/1.1."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport, self.loop)))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = cast("Any", {TRAILERS: cast("JoinedWrites", self.transport).end_with})


class JoinedWrites:
    """A transport that sends what is written in one turn of the loop at that turn's end, in order."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._trailers = b""
        self.is_closing = transport.is_closing

    def end_with(self, headers: Headers) -> None:
        """The answer whose last piece, an empty one, is sent next ends with these headers."""
        self._trailers = b"".join(b"%b: %b\r\n" % pair for pair in headers)

    def write(self, data: bytes) -> None:
        """Holds the data until the turn ends, or until there is much of it."""
        if self._trailers and data == _LAST_CHUNK:
            data, self._trailers = b"0\r\n%b\r\n" % self._trailers, b""
        if not self._held:
            self._call_soon(self._flush)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _MOST_HELD_BYTES:
            self._flush()

    def close(self) -> None:
        """Closes once everything is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held, self._held_bytes = self._held, [], 0
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
