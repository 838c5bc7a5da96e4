"""A lean way to the server for the calls that must be fast: one command out, one reply in.

The client library spends some 60 us a command on pooling, metrics and packing, three times what the round
trip itself takes. A link is a connection that the library has opened (password, TLS, database) and that is
then spoken to directly. Whoever uses it keeps the client for when a link breaks.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import cast

import hiredis
import redis

_BUFFER_BYTES = 1 << 17
Part = bytes | str | int


class RedisLinks:
    """Links to a client's server: safe to use from several threads, each call has one to itself."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._idle: deque[_Link] = deque()
        self._pid = os.getpid()

    def call(self, *command: Part) -> object:
        """The reply to one command; raises redis's `ConnectionError` where the link breaks, `ResponseError`."""
        if self._pid != os.getpid():  # a forked child must not share its parent's sockets
            self._idle, self._pid = deque(), os.getpid()
        try:
            link = self._idle.pop()  # one step for the interpreter, so no lock is needed
        except IndexError:
            link = _Link(self._client)
        try:
            link.send(command)
            reply = link.reply()
        except (OSError, hiredis.HiredisError) as error:
            link.close()
            raise redis.exceptions.ConnectionError(f"the connection broke: {error}") from error
        except BaseException:
            link.close()  # interrupted half way: what the server still sends belongs to no one
            raise
        self._idle.append(link)
        if isinstance(reply, hiredis.ReplyError):
            raise redis.exceptions.ResponseError(str(reply))
        return reply

    def values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of strings, None where there is none."""
        return cast("list[bytes | None]", self.call(b"MGET", *keys))

    def close(self) -> None:
        """Closes the links that are idle."""
        while self._idle:
            self._idle.pop().close()


class _Link:
    """One connection and its reader (whose types hiredis declares too narrowly: any buffer, any number of parts)."""

    def __init__(self, client: redis.Redis) -> None:
        pool = client.connection_pool
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._connection.connect()
        found = self._connection._get_socket()
        if found is None:
            raise redis.exceptions.ConnectionError("the connection has no socket")
        self._socket: socket.socket = found
        self._reader = hiredis.Reader(notEnoughData=NotImplemented)
        self._buffer = bytearray(_BUFFER_BYTES)

    def send(self, command: tuple[Part, ...]) -> None:
        """Sends one command."""
        self._socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]

    def reply(self) -> object:
        """Waits for the next reply; what the server announces unasked is passed over."""
        reader, buffer = self._reader, self._buffer
        while True:
            reply: object = reader.gets()
            if reply is NotImplemented:
                count = self._socket.recv_into(buffer)
                if not count:
                    raise ConnectionResetError("the server closed it")
                reader.feed(buffer, 0, count)  # type: ignore[arg-type]
            elif not isinstance(reply, hiredis.PushNotification):
                return reply

    def close(self) -> None:
        """Closes the connection."""
        self._connection.disconnect()
