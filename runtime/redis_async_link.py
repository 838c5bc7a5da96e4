"""The lean way to the server for coroutines: requests of one event loop share a connection, sent together.

Commands that coroutines give in one turn of the loop go out in one send, and replies come back in their order,
so a hundred requests at once cost little more than one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import cast
from weakref import WeakKeyDictionary

import hiredis
import redis

from .redis_link import BUFFER_BYTES, Link, Part

ANSWER_S = 5.0


class AsyncRedisLinks:
    """One link a running event loop to a client's server."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._links: WeakKeyDictionary[asyncio.AbstractEventLoop, _AsyncLink] = WeakKeyDictionary()

    async def call(self, *command: Part) -> object:
        """The reply to one command; raises redis's `ConnectionError` where the link breaks, `ResponseError`."""
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None or link.broken:
            opened = await asyncio.to_thread(Link, self._client)  # it may have to wait for the server
            link = self._links.get(loop)
            if link is None or link.broken:
                link = self._links[loop] = _AsyncLink(opened, loop)
            else:
                opened.close()  # another coroutine was quicker
        try:
            async with asyncio.timeout(ANSWER_S):
                reply = await link.ask(command, loop)
        except TimeoutError:
            link.close(redis.exceptions.ConnectionError("the server did not answer in time"), loop)
            raise redis.exceptions.ConnectionError("the server did not answer in time") from None
        if isinstance(reply, redis.exceptions.ResponseError):
            raise reply
        return reply

    async def values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of strings, None where there is none."""
        return cast("list[bytes | None]", await self.call(b"MGET", *keys))

    def close(self) -> None:
        """Closes the links; those of loops that still run, at their next turn."""
        gone = redis.exceptions.ConnectionError("closed")
        for loop, link in list(self._links.items()):
            if loop.is_closed():
                link.close(gone, None)
            else:
                loop.call_soon_threadsafe(link.close, gone, loop)
        self._links.clear()


class _AsyncLink:
    """A link whose socket an event loop watches; holds no reference to the loop, which may go at any time."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        if isinstance(link.socket, ssl.SSLSocket):
            link.close()
            raise redis.exceptions.ConnectionError("TLS is spoken in a thread")
        self._link = link
        self._buffer = bytearray(BUFFER_BYTES)
        self._waiting: deque[asyncio.Future[object]] = deque()
        self._out: list[bytes] = []
        self.broken = False
        link.socket.setblocking(False)
        loop.add_reader(link.socket, self._read, loop)

    def ask(self, command: tuple[Part, ...], loop: asyncio.AbstractEventLoop) -> asyncio.Future[object]:
        """Will hold the reply; sent at the end of this turn, with what others ask in it."""
        answer: asyncio.Future[object] = loop.create_future()
        self._waiting.append(answer)
        if not self._out:
            loop.call_soon(self._write, loop)
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type]
        return answer

    def close(self, error: Exception, loop: asyncio.AbstractEventLoop | None) -> None:
        """Closes the connection; whoever waits gets the error."""
        if self.broken:
            return
        self.broken = True
        if loop is not None:
            loop.remove_reader(self._link.socket)
            loop.remove_writer(self._link.socket)
        self._link.close()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(error)

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.broken:
            return
        block = b"".join(self._out)
        try:
            sent = self._link.socket.send(block)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.close(redis.exceptions.ConnectionError(f"the connection broke: {error}"), loop)
            return
        rest = block[sent:]
        self._out = [rest] if rest else []
        if rest:
            loop.add_writer(self._link.socket, self._write, loop)
        else:
            loop.remove_writer(self._link.socket)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            count = self._link.socket.recv_into(self._buffer)
            if not count:
                raise ConnectionResetError("the server closed it")
            self._link.reader.feed(self._buffer, 0, count)  # type: ignore[arg-type]
            for reply in self._link.received():
                answer = self._waiting.popleft()
                if not answer.done():  # its coroutine may have been cancelled
                    answer.set_result(reply)
        except BlockingIOError:
            return
        except (OSError, IndexError, hiredis.HiredisError) as error:
            self.close(redis.exceptions.ConnectionError(f"the connection broke: {error}"), loop)
