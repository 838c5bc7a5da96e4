"""The stable version's front while another version is tried: passes on the canary's share, copies to the shadow.

It stands inside the stable replicas, so that the usual case, one version, costs one comparison and no hop. A canary
that does not answer costs nobody a request: the stable version answers instead (so a request may be worked on twice).
The shadow's answers go nowhere; they are compared with the stable version's and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

from ..http.forward import VERSION_HEADER, Headers, Request, Unanswered
from ..http.http_app import HttpApp
from .traffic import Share, Traffic

if TYPE_CHECKING:
    from ..http.aiohttp_forward import Forwarder

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 16 << 20  # larger requests stay with the stable version
MAX_COMPARED_BYTES = 1 << 20
SHADOW_QUEUE = 256  # copies that wait; more are dropped, for the shadow must not slow the answer
SHADOW_WORKERS = 4
REPORT_S = 0.5
_VERSION = VERSION_HEADER.encode()
_VERSION_DIGITS = 12  # of hexadecimal, which stand nowhere else in an answer
REST_S = 2.0  # a canary that gave no answer is not asked for so long


@dataclass(slots=True)
class Counts:
    """What became of the requests since the replica started."""

    canary: int = 0
    fallbacks: int = 0  # the canary gave no answer, the stable version did
    shadowed: int = 0
    equal: int = 0
    different: int = 0
    unanswered: int = 0  # by the shadow
    dropped: int = 0  # copies not sent, because the shadow was behind

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


class Split:
    """An ASGI application around the stable version's; `configure` changes the traffic while requests run.

    `report` is told the counts, at most once a `REPORT_S`, while there is something to count.
    """

    def __init__(self, app: HttpApp | App, *, report: Callable[[Traffic, Counts], None] = lambda *_: None) -> None:
        self._app = app
        self._report = report
        self._reporting: asyncio.TimerHandle | None = None
        self.counts = Counts()
        self._made: Forwarder | None = None
        self._queue: asyncio.Queue[tuple[str, Request, tuple[int, bytes]]] = asyncio.Queue(SHADOW_QUEUE)
        self._workers: list[asyncio.Task[None]] = []
        self._traffic = Traffic()
        self._rests_until = 0.0
        self._canary = Share(0.0)

    def configure(self, config: Mapping[str, Any] | None) -> None:
        """From the next request on, traffic is shared out as `Traffic.as_config` said; counts begin anew."""
        traffic = Traffic.of(config)
        self._canary = Share(traffic.canary_percent if traffic.canary_url else 0.0)
        self._traffic = traffic
        self._rests_until = 0.0
        self.counts = Counts()

    def in_flight(self) -> float:
        """The mean number of requests in flight in the stable version."""
        return self._app.in_flight() if isinstance(self._app, HttpApp) else 0.0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        traffic = self._traffic
        is_asked = scope["type"] == "http" and scope["method"] == "POST"
        # Who names a version means it: no other may answer.
        if not traffic.is_split or not is_asked or "/versions/" in scope["path"]:
            await self._app(scope, receive, send)
            return
        messages = await _read(receive)
        again = _again(messages, receive)
        body = b"".join(message.get("body", b"") for message in messages)
        if messages[-1]["type"] != "http.request" or messages[-1].get("more_body"):
            await self._app(scope, again, send)  # too large, or ended early: the stable version says so
            return
        request = Request(scope["method"], _path(scope), list(scope["headers"]), body)
        self._tell_soon()
        if self._canary.take():
            if await self._by_canary(traffic.canary_url, request, send):
                self.counts.canary += 1
                return
            self.counts.fallbacks += 1
        if not traffic.shadow_url:
            await self._app(scope, again, send)
            return
        recorder = _Recorder(send)
        await self._app(scope, again, recorder)
        if recorder.answer is not None:
            self._copy(traffic.shadow_url, request, recorder.answer)

    async def settled(self) -> None:
        """Returns when every copy that was taken has been sent and compared."""
        await self._queue.join()

    async def aclose(self) -> None:
        """Ends the copies on their way, and the connections."""
        if self._reporting is not None:
            self._reporting.cancel()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._made is not None:
            await self._made.close()

    def close(self) -> None:
        """Closes what the stable version had opened; its process ends."""
        if isinstance(self._app, HttpApp):
            self._app.close()

    def _tell_soon(self) -> None:
        if self._reporting is None:
            self._reporting = asyncio.get_running_loop().call_later(REPORT_S, self._tell)

    def _tell(self) -> None:
        self._reporting = None
        self._report(self._traffic, self.counts)

    async def _by_canary(self, url: str, request: Request, send: Send) -> bool:
        """True when the canary answered; False while the client has heard nothing."""
        now = asyncio.get_running_loop().time()
        if now < self._rests_until:
            return False
        try:
            answer = await self._forwarder().send(url, request)
            # Whole before the first byte goes out, so that a canary that dies in the middle costs nobody an answer.
            body = b"" if answer.is_stream else await answer.body()
        except Unanswered:
            # Whoever asks a canary that is gone waits for a connection to nobody: let few find out.
            self._rests_until = now + REST_S
            return False
        if answer.is_stream:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            async for piece in answer.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return True
        headers = [*answer.headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return True

    def _forwarder(self) -> Forwarder:
        if self._made is None:
            from ..http.aiohttp_forward import (
                Forwarder,  # a fifth of a second, which a replica without a trial need not take
            )

            self._made = Forwarder()
        return self._made

    def _copy(self, url: str, request: Request, answered: tuple[int, bytes]) -> None:
        if not self._workers:
            self._workers = [asyncio.create_task(self._shadow()) for _ in range(SHADOW_WORKERS)]
        try:
            self._queue.put_nowait((url, request, answered))
        except asyncio.QueueFull:
            self.counts.dropped += 1

    async def _shadow(self) -> None:
        while True:
            url, request, answered = await self._queue.get()
            try:
                answer = await self._forwarder().send(url, request)
                body = _unversioned(await answer.body(), answer.headers)
            except Unanswered:
                self.counts.unanswered += 1
            else:
                self.counts.shadowed += 1
                if same_answer(answered, (answer.status, body)):
                    self.counts.equal += 1
                else:
                    self.counts.different += 1
            finally:
                self._queue.task_done()
                self._tell_soon()


def same_answer(one: tuple[int, bytes], other: tuple[int, bytes]) -> bool:
    """True for equal status and equal content; JSON is compared as values, so spelling and order of names count not."""
    if one == other:
        return True
    if one[0] != other[0]:
        return False
    try:
        return bool(orjson.loads(one[1]) == orjson.loads(other[1]))
    except orjson.JSONDecodeError:
        return False


class _Recorder:
    """Passes an answer on and keeps a copy of it, unless it is large or a stream."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 0
        self._headers: Headers = ()
        self._parts: list[bytes] = []
        self._size = 0
        self.answer: tuple[int, bytes] | None = None

    async def __call__(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
            return
        part = message.get("body", b"")
        self._size += len(part)
        if self._size <= MAX_COMPARED_BYTES:
            self._parts.append(part)
            if not message.get("more_body"):
                self.answer = (self._status, _unversioned(b"".join(self._parts), self._headers))


def _unversioned(body: bytes, headers: Headers) -> bytes:
    """The body without the name of the version that answered: the inference protocol tells it in every answer."""
    version = next((value for name, value in headers if name == _VERSION), b"")
    return body.replace(version, b"") if len(version) == _VERSION_DIGITS else body


async def _read(receive: Receive) -> list[Message]:
    """The messages of the request's body; the last has more to come when it is larger than what is passed on."""
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body") or size > MAX_BODY_BYTES:
            return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    """A `receive` that gives these messages first."""
    waiting = list(reversed(messages))

    async def next_one() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_one


def _path(scope: Message) -> str:
    """What comes after the service's own prefix, with the query."""
    path: str = scope["path"].removeprefix(scope.get("root_path") or "")
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path
