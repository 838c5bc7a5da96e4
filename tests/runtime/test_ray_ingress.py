"""The short way beside a stand-in for Serve's replica, which only counts; a real one is in test_ray_serve."""

from __future__ import annotations

import asyncio
import socket
from types import MethodType, SimpleNamespace
from typing import Any

import pytest

from eagleray.runtime.ray_ingress import LongWay, ShortWay, _bound, _short_way

KIND = "a request"


class Counts:
    def __init__(self):
        self.in_flight = 0
        self.seen = []

    def inc_num_ongoing_requests(self, request):
        assert request == KIND
        self.in_flight += 1

    def dec_num_ongoing_requests(self, request):
        self.in_flight -= 1

    def record_request_metrics(self, *, route, latency_ms, is_error):
        assert latency_ms >= 0
        self.seen.append((route, is_error))


class Replica:
    def __init__(self):
        self._metrics_manager = Counts()
        self._route_prefix = "/own"
        self.long = []

    async def _direct_ingress_asgi(self, scope, receive, send):
        self.long.append(scope["path"])


async def nothing(*_):
    return None


def request(path, kind="http"):
    return {"type": kind, "path": path, "root_path": "", "headers": []}


def test_only_the_services_own_paths_go_to_it():
    replica, short = Replica(), []

    async def app(scope, receive, send):
        assert replica._metrics_manager.in_flight == 1
        assert scope["root_path"] == "/own"
        short.append(scope["path"])

    way = ShortWay(app, replica=replica, kind=KIND)

    async def ask():
        for path in ("/own", "/own/", "/own/docs", "/owner", "/", "/-/healthz", "/-/routes"):
            await way(request(path), nothing, nothing)
        await way(request("/own", "websocket"), nothing, nothing)

    asyncio.run(ask())
    assert short == ["/own", "/own/", "/own/docs"]
    assert replica.long == ["/owner", "/", "/-/healthz", "/-/routes", "/own"]
    assert replica._metrics_manager.in_flight == 0
    assert replica._metrics_manager.seen == [("/own", False)] * 3


def test_a_request_that_fails_is_counted_as_ended():
    replica = Replica()

    async def app(scope, receive, send):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(ShortWay(app, replica=replica, kind=KIND)(request("/own"), nothing, nothing))
    assert replica._metrics_manager.in_flight == 0
    assert replica._metrics_manager.seen == [("/own", True)]


def test_serves_own_request_id_stays_the_only_one():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"1"), (b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"x"})

    async def send(message):
        sent.append(message)

    asyncio.run(LongWay(app)(request("/own"), nothing, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["headers"] == [(b"a", b"b")]


def test_a_taken_port_is_told_as_serve_expects_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="cannot listen on") as raised:
            _bound("127.0.0.1", taken.getsockname()[1])
        assert isinstance(raised.value.__cause__, OSError)


def test_what_stands_before_every_port_anyway_does_not_ask_for_the_long_way():
    pytest.importorskip("ray.serve")

    class Ours:
        IS_IN_FRONT = True

    replica: Any = Replica()
    replica._user_callable_wrapper = SimpleNamespace(_run_user_code_in_separate_thread=False)
    long_way = MethodType(Replica._direct_ingress_asgi, replica)
    for middlewares, is_short in (([], True), ([Ours], True), ([Ours, Replica], False), (None, True)):
        wrapped = None if middlewares is None else [SimpleNamespace(cls=one) for one in middlewares]
        options = SimpleNamespace(root_path="", middlewares=wrapped, ssl_keyfile=None)
        assert (_short_way(nothing, long_way, options) is not None) == is_short
