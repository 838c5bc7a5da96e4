"""Calls from a service's replica to the replicas of its parts, over Serve's own port between replicas."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import ReplicaUnavailableError, RequestCancelledError

from .errors import ServerUnavailable

PART = "part"
# A call that the end of its replica has cut off is repeated so long; it may meet a replica that Serve does not know to
# have ended yet, so it waits a little longer each time.
_REPEATED_S = 30.0
_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.5
# What a caller hears when the replica ends before it has answered.
_LOST = (RayActorError, ReplicaUnavailableError, RequestCancelledError, grpc.aio.AioRpcError)


class PartCaller:
    """Calls the part `name`, which is the service `service`, from the event loop of a replica."""

    def __init__(self, name: str, service: str) -> None:
        self._name = name
        self._service = service
        self._handle: Any = None

    async def __call__(self, asked: bytes, may_repeat: bool) -> bytes:
        """The part's answer; waits while none of its replicas is there. Raises `ServerUnavailable`.

        With `may_repeat` a call whose replica died is made again.
        """
        if self._handle is None:
            handle = serve.get_deployment_handle(PART, self._service, _check_exists=False, _record_telemetry=False)
            self._handle = handle.options(request_serialization="pickle", response_serialization="pickle")
        deadline = time.monotonic() + _REPEATED_S
        wait_s = _WAIT_S
        while True:
            try:
                answer: bytes = await self._handle.remote(asked)
                return answer
            except _LOST as error:
                lost = type(error).__name__
            if not may_repeat:
                raise ServerUnavailable(
                    f"a replica of {self._name!r} ended during the call, which may have been done; it is not repeated"
                )
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"no replica of {self._name!r} could answer ({lost}): ask again")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
