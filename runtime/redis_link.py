"""A lean way to the server for the calls that must be fast: one command out, one reply in.

The client library spends some 60 us a command on pooling, metrics and packing, three times what the round
trip itself takes. A link is a connection that the library has opened (password, TLS, database) and that is
then spoken to directly. Whoever uses it keeps the client for when a link breaks.
"""

from __future__ import annotations

import os
import socket
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import hiredis
import redis

BUFFER_BYTES = 1 << 17
_AHEAD = 2
Part = bytes | str | int


class RedisLinks:
    """Links to a client's server: safe to use from several threads, each call has one to itself."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._idle: deque[Link] = deque()
        self._pid = os.getpid()

    def call(self, *command: Part) -> object:
        """The reply to one command; raises redis's `ConnectionError` where the link breaks, `ResponseError`."""
        reply = self.call_each([command])[0]
        if isinstance(reply, redis.exceptions.ResponseError):
            raise reply
        return reply

    def call_each(self, commands: Iterable[tuple[Part, ...]]) -> list[object]:
        """The replies to commands, errors of the server among them; the next are sent while one is being answered."""
        link = self._taken()
        try:
            replies = link.exchange(commands)
        except BaseException as error:
            link.close()  # what the server still sends belongs to no one
            _raise_broken(error)
            raise
        self._idle.append(link)
        return replies

    def values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of strings, None where there is none."""
        return cast("list[bytes | None]", self.call(b"MGET", *keys))

    def _taken(self) -> Link:
        if self._pid != os.getpid():  # a forked child must not share its parent's sockets
            self._idle, self._pid = deque(), os.getpid()
        try:
            return self._idle.pop()  # one step for the interpreter, so no lock is needed
        except IndexError:
            return Link(self._client)

    def close(self) -> None:
        """Closes the links that are idle."""
        while self._idle:
            self._idle.pop().close()


def exchange_all(asked: Sequence[tuple[RedisLinks, Sequence[tuple[Part, ...]]]]) -> list[list[object]]:
    """`call_each` of several servers at once: all are sent their commands before the first is listened to."""
    taken: list[Link] = []
    try:
        for links, commands in asked:
            taken.append(links._taken())
            taken[-1].send_all(commands)
        replies = [[link.reply() for _ in commands] for link, (_, commands) in zip(taken, asked, strict=True)]
    except BaseException as error:
        for link in taken:
            link.close()
        _raise_broken(error)
        raise
    for link, (links, _) in zip(taken, asked, strict=True):
        links._idle.append(link)
    return replies


def _raise_broken(error: BaseException) -> None:
    if isinstance(error, OSError | hiredis.HiredisError):
        raise redis.exceptions.ConnectionError(f"the connection broke: {error}") from error


class Link:
    """One connection and its reader (whose types hiredis declares too narrowly: any buffer, any number of parts)."""

    def __init__(self, client: redis.Redis) -> None:
        pool = client.connection_pool
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._connection.connect()
        found = self._connection._get_socket()
        if found is None:
            raise redis.exceptions.ConnectionError("the connection has no socket")
        self.socket: socket.socket = found
        # Whoever forgets to close a store leaves no socket for the collector to complain of.
        weakref.finalize(self, self._connection.disconnect)
        self.reader = hiredis.Reader(notEnoughData=NotImplemented)
        self._buffer = bytearray(BUFFER_BYTES)

    def exchange(self, commands: Iterable[tuple[Part, ...]]) -> list[object]:
        """Sends commands, a few ahead of the replies."""
        replies: list[object] = []
        sent = 0
        for command in commands:
            self.send(command)
            sent += 1
            if sent - len(replies) > _AHEAD:
                replies.append(self.reply())
        while len(replies) < sent:
            replies.append(self.reply())
        return replies

    def send_all(self, commands: Sequence[tuple[Part, ...]]) -> None:
        """Sends commands in one go."""
        self.socket.sendall(b"".join(hiredis.pack_command(command) for command in commands))  # type: ignore[arg-type]

    def send(self, command: tuple[Part, ...]) -> None:
        """Sends one command."""
        self.socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]

    def reply(self) -> object:
        """Waits for the next reply."""
        while True:
            for reply in self.received():
                return reply
            count = self.socket.recv_into(self._buffer)
            if not count:
                raise ConnectionResetError("the server closed it")
            self.reader.feed(self._buffer, 0, count)  # type: ignore[arg-type]

    def received(self) -> Iterator[object]:
        """The replies that have come whole; what the server announces unasked is passed over."""
        while (reply := self.reader.gets()) is not NotImplemented:
            if isinstance(reply, hiredis.ReplyError):
                yield redis.exceptions.ResponseError(str(reply))
            elif not isinstance(reply, hiredis.PushNotification):
                yield reply

    def close(self) -> None:
        """Closes the connection."""
        self._connection.disconnect()
