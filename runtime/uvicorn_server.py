"""An HTTP server for one ASGI application in an event loop that runs already: uvicorn, one write an answer.

Uvicorn writes an answer's head and body apart; that is two system calls, and two wake-ups of whoever reads them. What
is written in one turn of the loop goes out together here.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .asgi import AsgiApp

# More than this is passed on at once: the socket's own buffer is what tells a fast writer to wait.
_MOST_HELD_BYTES = 64 << 10


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


class JoinedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on a transport that joins writes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport, self.loop)))


class JoinedWrites:
    """A transport that sends what is written in one turn of the loop at that turn's end, in order."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Holds the data until the turn ends, or until there is much of it."""
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
