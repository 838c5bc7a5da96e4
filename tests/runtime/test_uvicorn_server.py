from __future__ import annotations

import asyncio
import socket

from eagleray.runtime.asgi import TRAILERS
from eagleray.runtime.uvicorn_server import JoinedWrites, start


class Wire(asyncio.Transport):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.sent = []
        self.closed = False

    def write(self, data):
        assert not self.closed
        self.sent.append(data)

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name, default=None):
        return name


def test_what_is_written_in_one_turn_of_the_loop_goes_out_together():
    async def write():
        wire = Wire()
        joined = JoinedWrites(wire, asyncio.get_running_loop())
        joined.write(b"head ")
        joined.write(b"body")
        assert wire.sent == []
        await asyncio.sleep(0)
        assert wire.sent == [b"head body"]
        joined.write(b"more")
        joined.close()
        assert wire.sent == [b"head body", b"more"]
        assert joined.is_closing()
        await asyncio.sleep(0)
        assert joined.get_extra_info("peername") == "peername"
        return wire.sent

    assert asyncio.run(write()) == [b"head body", b"more"]


def test_much_is_not_held_so_that_a_slow_reader_is_felt():
    async def write():
        wire = Wire()
        joined = JoinedWrites(wire, asyncio.get_running_loop())
        joined.write(b"x" * 70_000)
        return wire.sent

    assert asyncio.run(write()) == [b"x" * 70_000]


async def app(scope, receive, send):
    """Answers the body; /events in two pieces, the second only when the client has said more."""
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/events":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await GATES[0].wait()
    await send({"type": "http.response.body", "body": message["body"]})


GATES: list[asyncio.Event] = []


async def exchange(path, body):
    """Status line and body of one request over a real socket; pieces of /events are awaited one by one."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    task, server = start(app, listening)
    while not server.started:
        await asyncio.sleep(0.001)
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path, len(body), body))
    first = await reader.readuntil(b"first" if path == b"/events" else body)
    if path == b"/events":
        GATES[0].set()
        first += await reader.readuntil(body)
    # Asked to end, it still keeps what is in flight; an idle connection is closed.
    server.should_exit = True
    await task
    writer.close()
    return first


def test_it_serves_and_ends_when_it_is_asked_to():
    answer = asyncio.run(exchange(b"/", b"whole body"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nserver:" not in answer


def test_pieces_of_a_stream_are_not_held_back():
    async def run():
        GATES[:] = [asyncio.Event()]
        return await exchange(b"/events", b"last")

    assert b"first" in asyncio.run(run())


def test_headers_may_follow_the_body():
    async def trailing(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"body", "more_body": True})
        scope["extensions"][TRAILERS]([(b"how", b"it ended"), (b"more", b"to say")])
        await send({"type": "http.response.body", "body": b""})

    async def run():
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        task, server = start(trailing, listening)
        while not server.started:
            await asyncio.sleep(0.001)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        answers = []
        for _ in range(2):  # the connection can still be used
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            answers.append(await reader.readuntil(b"to say\r\n\r\n"))
        server.should_exit = True
        await task
        writer.close()
        return answers

    first, second = asyncio.run(run())
    assert first.endswith(b"4\r\nbody\r\n0\r\nhow: it ended\r\nmore: to say\r\n\r\n")
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
