"""Remote steps against a real HTTP server: what it answers, what it fails with, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.flows.event import Batch
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import InputError, ServerUnavailable
from eagleray.runtime.retries import Retries


class Service:
    """A server in a thread of its own; remembers what it was asked, and holds requests to /held until it is freed."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[Any] = set()
        self.failures = 0
        self.freed = asyncio.Event()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.freed.set)
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> str:
        app = web.Application()
        app.router.add_post("/{what}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0]
        return f"http://{host}:{port}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        what, body = request.match_info["what"], await request.json()
        self.asked.append((what, body))
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport)
        if what == "held":
            await self.freed.wait()
        if what == "flaky" and self.failures > 0:
            self.failures -= 1
            return web.Response(status=503, text="busy\nnow")
        if what == "cut":
            assert request.transport is not None
            request.transport.close()
        status = {"broken": 500, "refused": 400}.get(what, 200)
        text = "<html>no" if what == "html" else "out of order" if status != 200 else json.dumps({"got": body})
        return web.Response(status=status, text=text)


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    service = Service()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def service(running: Service) -> Service:
    running.asked.clear()
    running.headers.clear()
    running.connections.clear()
    return running


def calling(url: str, **more: Any) -> Graph:
    g = Graph("g")
    return g.to(g.remote(url, **more), result="told")


def test_it_posts_what_stands_at_its_input_and_puts_the_answer_at_its_result(service: Service) -> None:
    g = Graph("g")
    step = g.remote(f"{service.url}/echo", headers={"authorization": "Bearer x"}).at(input="user", result="told.user")
    assert g.to(step).test({"user": {"name": "Ada"}}) == {
        "id": "test",
        "user": {"name": "Ada"},
        "told": {"user": {"got": {"name": "Ada"}}},
    }
    assert service.asked == [("echo", {"name": "Ada"})]
    assert service.headers[0]["Authorization"] == "Bearer x"
    assert service.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("broken", ServerUnavailable, "/broken answered 500: out of order"),
        ("refused", InputError, "/refused refused the request with 400: out of order"),
        ("html", ServerUnavailable, "/html answered with no JSON: <html>no"),
        ("cut", ServerUnavailable, "/cut cannot be reached"),
    ],
)
def test_what_the_other_side_does_wrong_is_told(service: Service, what: str, error: Any, said: str) -> None:
    with pytest.raises(error, match=said) as raised:
        calling(f"{service.url}/{what}").test({"x": 1})
    assert raised.value.__notes__ == ["in step 'remote' of 'g', given {x: int}"]


def test_who_does_not_listen_cannot_be_reached() -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets the port; not listening
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ServerUnavailable, match="cannot be reached"):
            calling(f"http://127.0.0.1:{taken.getsockname()[1]}/x").test({})


def test_who_does_not_answer_in_time_is_left(service: Service) -> None:
    with pytest.raises(TimeoutError, match=r"/held gave no answer within 0.05 s"):
        calling(f"{service.url}/held", timeout_s=0.05).test({})
    g = Graph("g")
    g.to(g.remote(f"{service.url}/held").timeout(0.05).fallback({"told": None}))
    assert g.test({}) == {"id": "test", "told": None}


def test_a_retry_asks_again_where_it_may_help(service: Service) -> None:
    service.failures = 2
    patient = Retries(2, on=(ServerUnavailable,), backoff_s=0.0)
    g = Graph("g")
    assert g.to(g.remote(f"{service.url}/flaky").retry(patient)).test({"x": 1})["got"] == {"x": 1}
    assert len(service.asked) == 3
    h = Graph("h")
    with pytest.raises(InputError):
        h.to(h.remote(f"{service.url}/refused").retry(patient)).test({"x": 1})
    assert len(service.asked) == 4


def test_a_cache_asks_once_a_key(service: Service) -> None:
    g = Graph("g")
    step = g.remote(f"{service.url}/echo").cache(ttl_s=60, key="user").at(result="told")
    found = g.to(step).test([{"user": name, "at": place} for place, name in enumerate(["a", "b", "a", "b", "a"])])
    assert [one["told"]["got"]["user"] for one in found] == ["a", "b", "a", "b", "a"]
    assert sorted(body["user"] for _, body in service.asked) == ["a", "b"]
    h = Graph("h")
    step = h.remote(f"{service.url}/broken").cache(ttl_s=60).on_error(lambda error, body: {"told": "no"})
    assert h.to(step).test([{"x": 1}, {"x": 1}])[1]["told"] == "no"
    before = len(service.asked)
    h.test({"x": 1})
    assert len(service.asked) == before + 1  # an error is not kept


def test_requests_share_connections_and_keep_their_answers(service: Service) -> None:
    async def ask() -> list[Any]:
        with Compiled.of(calling(f"{service.url}/echo")) as compiled:
            turns = [Batch.of([{"x": turn}], "r") for turn in range(300)]
            first = await compiled.flow.run_async(turns[0])
            rest = await asyncio.gather(*(compiled.flow.run_async(turn) for turn in turns[1:]))
        return [*first, *(answer for one in rest for answer in one)]

    assert [one["told"]["got"]["x"] for one in asyncio.run(ask())] == list(range(300))
    assert len(service.connections) <= 100


def test_ways_that_call_wait_together(service: Service) -> None:
    g = Graph("g")
    ways = {name: g.remote(f"{service.url}/echo", name=f"to-{name}").at(result=name) for name in ("a", "b", "c")}
    assert g.to(g.parallel(ways)).test({"x": 1})["c"] == {"got": {"x": 1}}
    assert len(service.asked) == 3


def test_a_tap_sees_what_was_answered_and_a_slow_one_holds_nobody_up(service: Service) -> None:
    seen: list[int] = []
    freed = threading.Event()

    def watch(body: dict[str, Any]) -> None:
        freed.wait(10)
        seen.append(body["told"]["got"]["x"])

    g = calling(f"{service.url}/echo")
    g.to(g.tap(watch))

    async def ask() -> list[Any]:
        with Compiled.of(g) as compiled:
            answers = [await compiled.flow.run_async(Batch.of([{"x": turn}], "r")) for turn in range(20)]
            assert seen == []
            freed.set()
        return answers

    assert len(asyncio.run(ask())) == 20
    assert seen == list(range(20))
