"""What a replica runs: the service's application, behind the front that shares out requests while a trial runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from ...runtime.asgi import Message, Receive, Send
from ..grpc.grpc_app import GrpcApp
from ..http.http_app import HttpApp
from .split import Counts, Split
from .traffic import Traffic

LIVE = "live"  # where in the configuration of a replica the service's own settings are


class StableFront:
    """An ASGI application: gRPC, then the split of traffic (`report` is told its counts), then the service's own."""

    def __init__(self, app: HttpApp, *, report: Callable[[Traffic, Counts], None] = lambda *_: None) -> None:
        self._split = Split(app, report=report)
        self._grpc = GrpcApp(self._split, body_bytes=app.limits.body_bytes)
        self._app = app
        self.warm_up = app.warm_up
        self.in_flight = self._split.in_flight
        self.close = self._split.close
        self.aclose = self._split.aclose

    def configure(self, config: Mapping[str, Any] | None) -> None:
        """Traffic is shared out as `Traffic.as_config` said, and `live` are the service's own settings."""
        told = dict(config or {})
        self._app.configure(told.pop(LIVE, None) or {})
        self._split.configure(told)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await self._grpc(scope, receive, send)


def stable_front(build: Callable[[], HttpApp], service: str) -> StableFront:
    """The application, made here; what becomes of split traffic is told under `counts_key`."""
    return StableFront(build(), report=_reporter(service))


def counts_key(service: str) -> str:
    """Where replicas leave what became of split traffic."""
    return f"traffic:{service}:"


def _reporter(service: str) -> Callable[[Traffic, Counts], None]:
    """Tells the counts of this process to whoever asks how canary or shadow do."""

    def report(traffic: Traffic, counts: Counts) -> None:
        from ...runtime import ray_kv

        told = {"traffic": traffic.as_config(), "counts": counts.as_dict()}
        ray_kv.put(f"{counts_key(service)}{os.getpid()}", json.dumps(told).encode())

    return report
