"""Services on the real wire without Ray: our server for each, and HAProxy with our rules in front of them."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from eagleray.runtime import uvicorn_server
from eagleray.runtime.haproxy_launch import binary, narrowed
from eagleray.runtime.inference_server import server_metadata

CONFIG = """global
    nbthread 1
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend http_frontend
    bind 127.0.0.1:{port}
{acls}
{uses}
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path not found."
{backends}
"""


class Services:
    """Services as replicas run them, each on a port of its own, in one loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._servers: list[Any] = []

    def start(self, front: Any, prefix: str) -> int:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["root_path"] = prefix  # as `ray_ingress` does
            await front(scope, receive, send)

        async def begin() -> None:
            task, server = uvicorn_server.start(app, listening)
            self._servers.append((task, server))

        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # from now on the proxy may connect
        self.run(begin())
        return int(listening.getsockname()[1])

    def run(self, made: Any) -> None:
        asyncio.run_coroutine_threadsafe(made, self._loop).result()

    def stop(self) -> None:
        async def end() -> None:
            for task, server in self._servers:
                server.should_exit = server.force_exit = True
                await task

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def proxy(ports: dict[str, int], folder: Path) -> Iterator[str]:
    """HAProxy in front of services, configured as Serve and our launcher do it; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    acls = "\n".join(f"    acl is_{name} path_beg /{name}/\n    acl is_{name} path /{name}" for name in ports)
    uses = "\n".join(f"    use_backend {name} if is_{name}" for name in ports)
    backends = "\n".join(f"backend {name}\n    server a 127.0.0.1:{at}" for name, at in ports.items())
    config = folder / "h.cfg"
    written = CONFIG.format(port=port, acls=acls, uses=uses, backends=backends)
    config.write_text(narrowed(written, server=json.dumps(server_metadata())))
    process = subprocess.Popen([str(binary()), "-db", "-f", str(config)], stderr=subprocess.PIPE, text=True)
    address = f"127.0.0.1:{port}"
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
        yield address
    finally:
        process.terminate()
        process.communicate()
