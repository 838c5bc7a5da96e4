"""`eagleray serve FILE[:FN]`: functions and graphs over HTTP in this process, loaded anew on every save."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .dev_server import DevServer

LOOPBACK = "127.0.0.1"
Target = Annotated[
    str,
    typer.Argument(metavar="FILE[:FN]", help="For instance app.py (all its functions and graphs), or app.py:answer."),
]


def serve(
    target: Target,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Serve a file's functions and graphs on this machine while you write them: no Ray, loaded anew on every save."""
    from ..runtime.errors import ServerUnavailable
    from .dev_server import DevServer

    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise ServerUnavailable(
            f"port {port} cannot be opened ({os.strerror(error.errno or 0)}): give --port, 0 for any"
        ) from None
    with listening:
        server = DevServer(target, say=lambda line: print(line, file=sys.stderr, flush=True))
        address = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        for name in server.names:
            print(f"{name}: POST {address}/{name}, try it at {address}/{name}/docs", flush=True)
        try:
            asyncio.run(_until_stopped(server, listening))
        finally:
            server.close()


async def _until_stopped(server: DevServer, listening: socket.socket) -> None:
    """Serves until Ctrl-C or SIGTERM."""
    from ..runtime.uvicorn_server import start
    from .watchfiles_changes import changes

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving, http = start(server, listening)
    watching = asyncio.create_task(server.reload_on(changes(server.folder, stop)))
    await stop.wait()
    http.should_exit = True
    await asyncio.gather(serving, watching)
