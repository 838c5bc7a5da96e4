"""An HTTP answer on its way out as gRPC: messages in frames, and trailers that say how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from ...runtime.asgi import Message, Send
from ..http.content_types import EVENTS, GRPC, JSON
from ..http.forward import VERSION_HEADER
from ..http.problem import Problem, Refused
from .grpc_frames import framed
from .grpc_rpc import Reply
from .grpc_status import OK, Status

Headers = list[tuple[bytes, bytes]]
_PASSED_ON = frozenset((b"x-request-id", VERSION_HEADER.encode()))


class GrpcAnswer:
    """The `send` that the service answers to.

    `end_with` takes what follows the body (see `runtime.asgi.TRAILERS`). An error without a message before it goes out
    as headers alone, as gRPC wants it.
    """

    def __init__(self, send: Send, end_with: Callable[[Sequence[tuple[bytes, bytes]]], None]) -> None:
        self._send = send
        self._end_with = end_with
        self._headers: Headers = []
        self._began = self._ended = False
        self._reply: Reply = lambda _, body: body
        self._streams = False
        self._status, self._type, self._retry_s = 0, b"", 0
        self._buffer = b""

    def expect(self, reply: Reply, *, streams: bool) -> None:
        """From now on an HTTP answer comes, which `reply` makes messages of: one, or with `streams` one an event."""
        self._reply, self._streams = reply, streams

    async def __call__(self, message: Message) -> None:
        if self._ended:  # by an error in the middle: whatever the service still has to say, the caller has its answer
            return
        if message["type"] == "http.response.start":
            await self._start(message)
            return
        self._buffer += message.get("body", b"")
        is_last = not message.get("more_body")
        if self._type.startswith(EVENTS):
            await self._events()
            if is_last:
                await self.end(Status(OK))
        elif is_last:
            if self._status == 200:
                await self.send_message(self._reply(self._type, self._buffer))
            await self.end(Status.of(self._status, self._buffer, retry_s=self._retry_s))

    async def begin(self) -> None:
        """Sends the head: from now on the end is told after the messages."""
        if not self._began:
            self._began = True
            headers = [(b"content-type", GRPC), *self._headers]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send_message(self, message: bytes) -> None:
        """Sends one reply."""
        await self.begin()
        await self._send({"type": "http.response.body", "body": framed(message), "more_body": True})

    async def end(self, status: Status) -> None:
        """Sends how it ended; nothing where that is told already."""
        if self._ended:
            return
        self._ended = True
        if self._began:
            self._end_with(status.headers())
        else:
            headers = [(b"content-type", GRPC), *self._headers, *status.headers(), (b"content-length", b"0")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, message: Message) -> None:
        self._status = message["status"]
        for name, value in message["headers"]:
            if name == b"content-type":
                self._type = value
            elif name == b"retry-after" and value.isdigit():
                self._retry_s = int(value)
            elif name in _PASSED_ON:
                self._headers.append((name, value))
        if self._type.startswith(EVENTS):
            if not self._streams:
                raise Refused(Problem(400, "this function yields its values one by one; call Stream instead of Call"))
            await self.begin()

    async def _events(self) -> None:
        *events, self._buffer = self._buffer.split(b"\n\n")
        for event in events:
            name, _, data = event.rpartition(b"data: ")
            if name.startswith(b"event: error"):
                await self.end(_failed(data))
                return
            await self.send_message(self._reply(JSON, data))


def _failed(problem: bytes) -> Status:
    """The end of a stream that a problem document tells."""
    try:
        status = int(orjson.loads(problem)["status"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        status = 500
    return Status.of(status, problem)
