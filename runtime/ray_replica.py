"""What runs in a replica of a service: the application behind HTTP, or a part of one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import cloudpickle

with warnings.catch_warnings():
    # Serve declares its settings in a way that pydantic has deprecated, and says so at import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve

from . import ray_ingress, ray_kv
from .asgi import AsgiApp
from .ray_grpc_call import PartCaller


@serve.ingress()
class Replica:
    """One replica: unpacks the application when it starts, and tells the autoscaler what is in flight.

    Where the service has `parts`, by name the services that they are, its application is made with what calls them.
    """

    def __init__(self, packed_build: bytes, parts: Mapping[str, str] = {}) -> None:
        ray_ingress.serve_on_loopback()
        build = cloudpickle.loads(packed_build)
        self._app: AsgiApp = (
            build({part: PartCaller(part, service) for part, service in parts.items()}) if parts else build()
        )
        self._is_warm = False
        ray_ingress.shorten(self._app)

    def __serve_build_asgi_app__(self) -> AsgiApp:
        return ray_ingress.LongWay(self._app)

    async def reconfigure(self, config: Mapping[str, Any] | None) -> None:
        """Called by Serve before the first request and whenever the configuration changes; no restart."""
        configure = getattr(self._app, "configure", None)
        if configure is not None:
            configure(config)
        warm_up = getattr(self._app, "warm_up", None)
        if warm_up is not None and not self._is_warm:
            await warm_up()
        self._is_warm = True

    def record_autoscaling_stats(self) -> dict[str, float]:
        in_flight = getattr(self._app, "in_flight", None)
        return {} if in_flight is None else {"in_flight": float(in_flight())}

    def __del__(self) -> None:
        close = getattr(getattr(self, "_app", None), "close", None)
        if close is not None:
            close()


class PartReplica:
    """One replica of a part: takes bytes and gives bytes, which only replicas of ours have made."""

    def __init__(self, packed_build: bytes) -> None:
        ray_ingress.serve_on_loopback()
        self._app = cloudpickle.loads(packed_build)()
        self._rehearsal = f"warm:{serve.get_replica_context().app_name}"
        self._app.keep = lambda asked: ray_kv.put(self._rehearsal, asked)
        self._is_warm = False

    async def __call__(self, asked: bytes) -> bytes:
        answer: bytes = await self._app.answer(asked)
        return answer

    async def reconfigure(self, config: Mapping[str, Any] | None) -> None:
        """As `Replica.reconfigure`; it warms up with what the first replica was asked when the service did."""
        self._app.configure(config)
        asked = None if self._is_warm else ray_kv.get(self._rehearsal)
        self._is_warm = True
        if asked is not None:
            await self._app.answer(asked)

    def record_autoscaling_stats(self) -> dict[str, float]:
        return {"in_flight": float(self._app.in_flight())}

    def __del__(self) -> None:
        close = getattr(getattr(self, "_app", None), "close", None)
        if close is not None:
            close()
