"""Calls services over gRPC from Python: one connection, for any number of threads and services."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import grpc
import orjson

from ...runtime.errors import EaglerayError, InputError, NotFoundError, ServerUnavailable
from ...runtime.settings import Settings
from ..calls.frames import plain
from .protobuf_calls import SERVICE, Calls

TIMEOUT_S = 30.0
_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # no proxy of the environment is ever asked
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]
_INPUT = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED)


class GrpcClient:
    """Every service at an address like `endpoint.grpc_address`.

    The first of `keys` is shown to the services, or else that of the environment (`EAGLERAY_API_KEYS`).
    An answer that takes longer than `timeout_s` is an error, also of a stream as a whole (None: it may take for ever).
    """

    def __init__(self, address: str, *, keys: tuple[str, ...] = (), timeout_s: float | None = TIMEOUT_S) -> None:
        self._keys = keys
        self._address = address
        self._timeout_s = timeout_s
        self._calls = Calls()
        self._channel: Any = grpc.insecure_channel(address, options=_OPTIONS)
        self._call = self._channel.unary_unary(f"/{SERVICE}/Call")
        self._stream = self._channel.unary_stream(f"/{SERVICE}/Stream")

    def call(self, function: str, /, **arguments: Any) -> Any:
        """The result of a function, as JSON's types; raises the error that the service answered with."""
        try:
            reply = self._call(self._message(function, arguments), timeout=self._timeout_s, metadata=self._metadata())
        except grpc.RpcError as error:
            raise self._error(error) from None
        return self._calls.read(reply)

    def stream(self, function: str, /, **arguments: Any) -> Iterator[Any]:
        """What a generator function yields, as it comes; an error in the middle is raised there."""
        replies = self._stream(self._message(function, arguments), timeout=self._timeout_s, metadata=self._metadata())
        try:
            for reply in replies:
                yield self._calls.read(reply)
        except grpc.RpcError as error:
            raise self._error(error) from None
        finally:
            replies.cancel()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _message(self, function: str, arguments: dict[str, Any]) -> bytes:
        body = orjson.dumps(
            {name: plain(value) for name, value in arguments.items()}, option=orjson.OPT_SERIALIZE_NUMPY
        )
        message: bytes = self._calls.request(function=function, json=body).SerializeToString()
        return message

    def _error(self, error: Any) -> EaglerayError:
        code, said = error.code(), error.details() or "no word of why"
        if code is grpc.StatusCode.NOT_FOUND:
            return NotFoundError(said)
        told = {name for name, _ in error.trailing_metadata() or ()}
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return ServerUnavailable(said) if "retry-after" in told else InputError(said)
        if code is grpc.StatusCode.UNAVAILABLE:
            return ServerUnavailable(f"{self._address}: {said}")
        return InputError(said) if code in _INPUT else EaglerayError(said)

    def _metadata(self) -> list[tuple[str, str]]:
        keys = self._keys or Settings.from_env().api_keys  # the environment's anew each time, for keys change
        return [("authorization", f"Bearer {keys[0]}")] if keys else []
