"""The short way into a Serve replica: from its port straight to the application.

Serve's own way makes some thirty objects a request, and a record for a log that is off; together they cost more than
the work of a small function. What Serve must know, it is still told: requests in flight (a replica that stops waits for
them) and each one's time (its metrics). Health checks and paths of other services go Serve's own way.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .asgi import AsgiApp, Message, Receive, Send
from .ray_environment import LOOPBACK
from .uvicorn_server import Started
from .uvicorn_server import start as start_server


def shorten(app: AsgiApp) -> None:
    """From now on the port that Serve opens in this process leads to `app`; called before it is opened."""
    from ray.serve._private import replica as serve_replica

    module: Any = serve_replica
    serves_long_way: Callable[..., Awaitable[Started]] | None = getattr(module, "start_asgi_http_server", None)
    if serves_long_way is None:  # another Ray, which opens its port in another way
        return

    async def start(long_way: Any, options: Any, **how: Any) -> Started:
        way = _short_way(app, long_way, options)
        if way is None:
            return await serves_long_way(long_way, options, **how)
        return start_server(way, _bound(options.host, options.port), keep_alive_s=options.keep_alive_timeout_s)

    module.start_asgi_http_server = start


def serve_on_loopback() -> None:
    """Keeps the port for calls between replicas on this machine when the whole cluster is this machine.

    Serve opens it on every address and has no setting for it.
    """
    import ray
    from ray.serve._private import replica as serve_replica

    if ray.util.get_node_ip_address() != LOOPBACK:  # type: ignore[no-untyped-call]
        return
    replica: Any = serve_replica
    add_port = replica.add_port_to_grpc_server

    def add_loopback_port(server: object, address: str) -> int:
        return int(add_port(server, address.replace("[::]", LOOPBACK)))

    replica.add_port_to_grpc_server = add_loopback_port


def _short_way(app: AsgiApp, long_way: Any, options: Any) -> ShortWay | None:
    """None where the port has options that only Serve's own way heeds, and for a Ray that is built otherwise."""
    try:
        from ray.serve._private.common import RequestMetadata, RequestProtocol

        replica = long_way.__self__
        elsewhere = replica._user_callable_wrapper._run_user_code_in_separate_thread  # a loop that is not this one
        others = [one for one in options.middlewares or () if not getattr(one.cls, "IS_IN_FRONT", False)]
        if elsewhere or options.root_path or others or options.ssl_keyfile:
            return None
        kind = RequestMetadata("", "", _request_protocol=RequestProtocol.HTTP, is_direct_ingress=True)
        return ShortWay(app, replica=replica, kind=kind)
    except (ImportError, AttributeError, TypeError):
        return None


class ShortWay:
    """An ASGI application: requests of the replica's own service go to `app`, others to the Serve `replica`.

    `kind` is the request as Serve counts it.
    """

    def __init__(self, app: AsgiApp, *, replica: Any, kind: object) -> None:
        self._app = app
        self._long_way: AsgiApp = replica._direct_ingress_asgi  # Serve offers no door here
        self._told = replica._metrics_manager
        self._prefix: str = replica._route_prefix or ""
        self._below = f"{self._prefix.rstrip('/')}/"
        self._kind = kind

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["type"] != "http" or path[:3] == "/-/" or not (path == self._prefix or path.startswith(self._below)):
            await self._long_way(scope, receive, send)
            return
        scope["root_path"] = self._prefix
        told, failed, began = self._told, True, time.perf_counter()
        told.inc_num_ongoing_requests(self._kind)
        try:
            await self._app(scope, receive, send)
            failed = False
        finally:
            told.dec_num_ongoing_requests(self._kind)
            latency_ms = (time.perf_counter() - began) * 1e3
            told.record_request_metrics(route=self._prefix, latency_ms=latency_ms, is_error=failed)


class LongWay:
    """The application where Serve is in front (its Python proxy, say), which adds a request id of its own."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def send_without_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
            await send(message)

        await self._app(scope, receive, send_without_id)


def _bound(host: str, port: int) -> socket.socket:
    """A socket on that address; a `RuntimeError` caused by the system's error tells Serve to try another port."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise RuntimeError(f"cannot listen on {host}:{port}") from error
    return listening
