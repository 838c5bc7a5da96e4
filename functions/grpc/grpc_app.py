"""gRPC in front of a service: each call becomes the HTTP request it stands for, so that all else is said once.

Keys, limits, canary, shadow, metrics and log are those of the service's HTTP face. HTTP/2 is spoken by the proxy in
front, which hands a call on as an HTTP/1.1 request with trailers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from functools import cached_property
from typing import Any

from ...runtime.asgi import TRAILERS, AsgiApp, Message, Receive, Send
from ...runtime.errors import did_you_mean
from ..http.content_types import GRPC
from ..http.forward import Request
from ..http.problem import Problem, Refused, problem_of
from .grpc_answer import GrpcAnswer
from .grpc_frames import Unframer, timeout_s, unframed
from .grpc_rpc import Asked, Conversation, Rpc
from .grpc_status import DEADLINE_EXCEEDED, OK, Status

_DESCRIPTION = Request("GET", "/openapi.json", (), b"")
_NONE: Mapping[str, Any] = {}
# Those that say what the body is, or belong to the connection.
_NOT_PASSED_ON = frozenset((b"content-type", b"content-length", b"accept", b"te", b"transfer-encoding"))


class GrpcApp:
    """An ASGI application around another: a call to /NAME/SERVICE/METHOD is put to it as a request below /NAME.

    What is no call is passed on as it is. No more than `body_bytes` of a message are read.
    """

    # Tells `ray_ingress` that a replica which is told to put it in front has it in front already.
    IS_IN_FRONT = True

    def __init__(self, app: AsgiApp, *, body_bytes: int) -> None:
        self._app = app
        self._most_bytes = body_bytes + 4096  # the message holds some more than the body it stands for

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        # Serve's proxy sends the scope to another process, where the extension could not go.
        end_with = scope.pop("extensions", _NONE).get(TRAILERS)
        if end_with is not None:
            for name, value in scope["headers"]:
                if name == b"content-type":
                    if value.startswith(GRPC):
                        await self._called(scope, receive, GrpcAnswer(send, end_with))
                        return
                    break
        await self._app(scope, receive, send)

    async def _called(self, scope: Message, receive: Receive, answer: GrpcAnswer) -> None:
        deadline = timeout_s(dict(scope["headers"]).get(b"grpc-timeout", b""))
        try:
            async with asyncio.timeout(deadline) as limit:
                await self._work(scope, receive, answer)
        except TimeoutError:
            said = f"no answer within the caller's {deadline:g} s" if limit.expired() else "timed out"
            await answer.end(Status(DEADLINE_EXCEEDED, f"{said}; ask for less at once, or give it longer"))
        except Refused as refused:
            await answer.end(_told(refused.problem))
        except Exception as error:  # noqa: BLE001 - the caller is owed an answer whatever breaks
            await answer.end(_told(problem_of(error, "")))

    async def _work(self, scope: Message, receive: Receive, answer: GrpcAnswer) -> None:
        prefix, _, service = scope["path"].rpartition("/")[0].rpartition("/")
        method = scope["path"].removeprefix(prefix)
        rpc = self._rpcs.get(method)
        if rpc is None:
            known = did_you_mean(method, (name for name in self._rpcs if service in name) if service else ())
            raise Refused(Problem(501, f"no method {method!r} here{known}"))
        if isinstance(rpc, Conversation):
            await self._conversation(rpc, _scope(scope, _DESCRIPTION, prefix), receive, answer)
            return
        body, is_whole = await self._read(receive)
        # What is too large is not read, but still told to the service, which refuses it in its own words.
        asked = rpc.ask(unframed(body)) if is_whole else _too_large(len(body))
        answer.expect(asked.reply, streams=rpc.streams)
        await self._app(_scope(scope, asked.request, prefix), _Body(asked.request.body, is_whole, receive), answer)
        await answer.end(Status.of(502, b""))

    async def _conversation(self, rpc: Conversation, scope: Message, receive: Receive, answer: GrpcAnswer) -> None:
        """A reply to each message, for those who may see what `scope` asks for."""
        allowed = _Status()
        await self._app(scope, receive, allowed)
        if allowed.status != 200:
            raise Refused(Problem(allowed.status, "no valid API key; send it as 'authorization: Bearer KEY'"))
        await answer.begin()
        unframer, size = Unframer(), 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._most_bytes:
                raise Refused(Problem(413, f"more than {self._most_bytes} bytes of questions; ask in several calls"))
            for one in unframer.take(piece):
                await answer.send_message(rpc.answer(one))
            if not message.get("more_body"):
                await answer.end(Status(OK))
                return

    async def _read(self, receive: Receive) -> tuple[bytes, bool]:
        """The body, and True when that is all of it: nothing is read beyond the limit."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refused(Problem(400, "the call ended early; send its message whole"))
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most_bytes:
                return b"".join(parts), False
            if not message.get("more_body"):
                return b"".join(parts), True

    @cached_property
    def _rpcs(self) -> Mapping[str, Rpc | Conversation]:
        """Made at the first call: a service that is only asked over HTTP loads nothing for it."""
        from .grpc_introspection import introspection_rpcs
        from .protobuf_calls import functions_rpcs
        from .protobuf_inference import inference_rpcs

        return {**functions_rpcs(), **inference_rpcs(), **introspection_rpcs()}


class _Body:
    """The `receive` of a request whose body is known; then the news of the caller."""

    def __init__(self, body: bytes, is_whole: bool, receive: Receive) -> None:
        self._messages: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
        if not is_whole:
            self._messages = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"", "more_body": True}]
        self._receive = receive

    async def __call__(self) -> Message:
        return self._messages.pop() if self._messages else await self._receive()


class _Status:
    """A `send` that keeps the status only."""

    status = 0

    async def __call__(self, message: Message) -> None:
        self.status = message.get("status", self.status)


def _told(problem: Problem) -> Status:
    return Status.of(problem.status, problem.body(""), retry_s=problem.retry_s)


def _too_large(size: int) -> Asked:
    headers = ((b"content-type", GRPC), (b"content-length", b"%d" % size))
    return Asked(Request("POST", "", headers, b""), lambda _, body: body)


def _scope(scope: Message, request: Request, prefix: str) -> Message:
    """The scope of the request that a call stands for."""
    kept = [(k, v) for k, v in scope["headers"] if k not in _NOT_PASSED_ON and not k.startswith(b"grpc-")]
    path, _, query = request.path.partition("?")
    headers = [*kept, *request.headers]
    if request.method == "POST" and not any(name == b"content-length" for name, _ in request.headers):
        headers.append((b"content-length", b"%d" % len(request.body)))
    whole = prefix + path
    changed = {"method": request.method, "path": whole, "raw_path": whole.encode(), "query_string": query.encode()}
    return {**scope, **changed, "headers": headers}
