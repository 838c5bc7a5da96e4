"""Canary and shadow between real HTTP servers on loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from eagleray.functions.rollouts.split import MAX_BODY_BYTES, SHADOW_QUEUE, Split, same_answer
from eagleray.functions.rollouts.traffic import Traffic

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def echo(version: str, *, status: int = 200, kind: bytes = b"application/json") -> Asgi:
    """Answers with its version, the path it saw and the length of the body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        said = f'{{"version": "{version}", "path": "{scope["path"]}", "bytes": {len(body)}}}'.encode()
        headers = [(b"content-type", kind), (b"x-eagleray-version", version.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": said[:5], "more_body": True})
        await send({"type": "http.response.body", "body": said[5:]})

    return app


async def stranger(scope: Any, receive: Any, send: Any) -> None:
    """A proxy that knows no such service."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"no such path"})


async def dies(scope: Any, receive: Any, send: Any) -> None:
    """Begins an answer and breaks off."""
    await receive()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"100"), (b"x-eagleray-version", b"2")],
        }
    )
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ConnectionAbortedError("gone")


@pytest.fixture
def serve() -> Iterator[Callable[[Asgi], str]]:
    """Runs ASGI applications on free loopback ports, each in a thread; gives their URLs."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Asgi) -> str:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # from now on a client may connect; it is answered once the server runs
        config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


def ask(
    split: Split, *, times: int = 1, body: bytes = b'{"x":1}', method: str = "POST", path: str = "/predict"
) -> list[httpx.Response]:
    """Requests one after the other, and then all copies sent."""

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=split), base_url="http://f") as client:
            answers = [await client.request(method, f"{path}?a=1", content=body) for _ in range(times)]
        await split.settled()
        await split.aclose()
        return answers

    return asyncio.run(run())


def split_to(stable: Asgi, **traffic: Any) -> Split:
    split = Split(stable)
    split.configure(Traffic(**traffic).as_config())
    return split


def test_one_version_is_passed_through() -> None:
    split = Split(echo("1"))
    (answer,) = ask(split)
    assert answer.json() == {"version": "1", "path": "/predict", "bytes": 7}
    assert set(split.counts.as_dict().values()) == {0}


def test_the_canary_gets_its_share(serve: Callable[[Asgi], str]) -> None:
    split = split_to(echo("1"), canary_url=serve(echo("2")), canary_percent=25.0)
    answers = ask(split, times=20)
    assert Counter(answer.json()["version"] for answer in answers) == {"1": 15, "2": 5}
    assert {(a.status_code, a.json()["path"], a.json()["bytes"]) for a in answers} == {(200, "/predict", 7)}
    assert {a.headers["x-eagleray-version"] for a in answers} == {"1", "2"}
    assert (split.counts.canary, split.counts.fallbacks) == (5, 0)


def test_an_error_of_the_canary_s_own_is_its_answer(serve: Callable[[Asgi], str]) -> None:
    split = split_to(echo("1"), canary_url=serve(echo("2", status=500)), canary_percent=100.0)
    assert [a.status_code for a in ask(split, times=2)] == [500, 500]


@pytest.mark.parametrize("broken", ["refused", "dies", "full", "no replica"])
def test_a_canary_that_does_not_answer_costs_no_request(serve: Callable[[Asgi], str], broken: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        urls = {
            "refused": f"http://127.0.0.1:{unused.getsockname()[1]}",
            "dies": serve(dies),
            "full": serve(echo("2", status=503)),
            "no replica": serve(stranger),
        }
        split = split_to(echo("1"), canary_url=urls[broken], canary_percent=50.0)
        answers = ask(split, times=10)
    assert [answer.json()["version"] for answer in answers] == ["1"] * 10
    assert (split.counts.canary, split.counts.fallbacks) == (0, 5)


def test_a_stream_of_the_canary_is_passed_on(serve: Callable[[Asgi], str]) -> None:
    url = serve(echo("2", kind=b"text/event-stream"))
    (answer,) = ask(split_to(echo("1"), canary_url=url, canary_percent=100.0))
    assert answer.headers["content-type"] == "text/event-stream"
    assert b'"version": "2"' in answer.content


def test_what_only_looks_stays_with_the_stable_version(serve: Callable[[Asgi], str]) -> None:
    split = split_to(echo("1"), canary_url=serve(echo("2")), canary_percent=100.0)
    assert ask(split, method="GET")[0].json()["version"] == "1"


def test_a_large_body_stays_with_the_stable_version(serve: Callable[[Asgi], str]) -> None:
    split = split_to(echo("1"), canary_url=serve(echo("2")), canary_percent=100.0)
    (answer,) = ask(split, body=b"x" * (MAX_BODY_BYTES + 2))
    assert answer.json() == {"version": "1", "path": "/predict", "bytes": MAX_BODY_BYTES + 2}


def test_the_shadow_is_compared_and_never_answers(serve: Callable[[Asgi], str]) -> None:
    split = split_to(echo("1"), shadow_url=serve(echo("1")))
    assert len(ask(split, times=3)) == 3
    assert (split.counts.shadowed, split.counts.equal, split.counts.different) == (3, 3, 0)

    split = split_to(echo("1"), shadow_url=serve(echo("2")))
    assert {a.json()["version"] for a in ask(split, times=3)} == {"1"}
    assert (split.counts.shadowed, split.counts.equal, split.counts.different) == (3, 0, 3)

    # An answer that tells its version, as those of the inference protocol do, is no other answer for that.
    split = split_to(echo("0123456789ab"), shadow_url=serve(echo("cdef01234567")))
    assert {a.json()["version"] for a in ask(split, times=3)} == {"0123456789ab"}
    assert (split.counts.shadowed, split.counts.equal, split.counts.different) == (3, 3, 0)


def test_who_names_a_version_is_answered_by_no_other(serve: Callable[[Asgi], str]) -> None:
    split = split_to(echo("1"), canary_url=serve(echo("2")), canary_percent=100.0)
    answers = ask(split, times=2, path="/v2/models/predict/versions/1/infer")
    assert [answer.json()["version"] for answer in answers] == ["1", "1"]


def test_a_shadow_that_is_behind_or_gone_slows_nobody(serve: Callable[[Asgi], str]) -> None:
    release = threading.Event()

    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, release.wait)
        await echo("2")(scope, receive, send)

    split = split_to(echo("1"), shadow_url=serve(stuck))
    taken = SHADOW_QUEUE + 40

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=split), base_url="http://f") as client:
            for _ in range(taken):  # every one is answered although the shadow answers none
                assert (await client.post("/")).status_code == 200
        release.set()
        await split.settled()
        await split.aclose()

    asyncio.run(run())
    counts = split.counts
    assert counts.dropped > 0
    assert counts.dropped + counts.shadowed + counts.unanswered == taken

    split = split_to(echo("1"), shadow_url="http://127.0.0.1:1")
    assert ask(split)[0].json()["version"] == "1"
    assert split.counts.unanswered == 1


def test_traffic_changes_while_requests_run(serve: Callable[[Asgi], str]) -> None:
    split = split_to(echo("1"), canary_url=serve(echo("2")), canary_percent=100.0)

    async def run() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=split), base_url="http://f") as client:
            first = (await client.post("/")).json()["version"]
            split.configure(None)
            second = (await client.post("/")).json()["version"]
        await split.aclose()
        return [first, second]

    assert asyncio.run(run()) == ["2", "1"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((200, b'{"a":1,"b":2}'), (200, b'{"b": 2, "a": 1}'), True),
        ((200, b'{"a":1}'), (200, b'{"a":2}'), False),
        ((200, b"x"), (500, b"x"), False),
        ((200, b"\x00"), (200, b"\x01"), False),
    ],
)
def test_same_answer(one: tuple[int, bytes], other: tuple[int, bytes], same: bool) -> None:
    assert same_answer(one, other) is same
