"""gRPC in Serve's Python proxy, which stands in while no replica can be reached directly: at the first start, during an
update, and while a service is scaled to zero."""

from __future__ import annotations

from typing import Any, cast

from ...runtime import uvicorn_server
from .grpc_app import GrpcApp

# A replica's own limit is smaller, and holds here as well; this one is for those who ask for more.
_MOST_BYTES = 64 << 20


def middlewares() -> list[Any]:
    """What Serve puts in front of its proxy (see `ray_environment.serve`); called in its process, and in replicas'."""
    from starlette.middleware import Middleware

    uvicorn_server.become_default()
    return [Middleware(cast("Any", GrpcApp), body_bytes=_MOST_BYTES)]
