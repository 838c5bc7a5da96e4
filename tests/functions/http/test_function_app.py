"""A function behind HTTP, asked in process: typed bodies, tables, events, keys, limits, and what is told on errors."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest

from eagleray.functions.calls.runner import QUICK_S, Runner
from eagleray.functions.http.api_keys import ApiKeys
from eagleray.functions.http.content_types import ARROW
from eagleray.functions.http.function_app import function_app
from eagleray.functions.http.http_app import HttpLimits, HttpOptions
from eagleray.runtime.call_options import CallOptions
from eagleray.runtime.stateful import Stateful

TABLE = {"content-type": ARROW.decode()}


@dataclass
class Point:
    x: float
    y: float = 0.0


def dot(x: list[float], scale: float = 1.0) -> float:
    """Sums and scales.

    The rest is for those who read on.
    """
    return sum(x) * scale


def moved(point: Point, by: float) -> Point:
    return Point(point.x + by, point.y + by)


def doubled(frame: pl.DataFrame, times: int = 2) -> pl.DataFrame:
    return frame.with_columns(pl.all() * times)


async def later(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


def fails(x: int) -> int:
    raise KeyError(f"no {x} here")


def counts(to: int) -> Iterator[int]:
    yield from range(to)
    if to > 3:
        raise ValueError("too far")


async def counts_later(to: int) -> AsyncIterator[dict[str, int]]:
    for value in range(to):
        yield {"value": value}


class Counter:
    """Counts."""

    def __init__(self, start: int) -> None:
        self.total = start

    def setup(self) -> None:
        self.total += 100

    def predict(self, by: int = 1) -> int:
        self.total += by
        return self.total


def ask(
    fn: Callable[..., Any], *requests: tuple[str, str, dict[str, Any]], http: HttpOptions | None = None
) -> list[httpx.Response]:
    """The answers to (method, path, arguments), all asked at the same time."""

    async def run() -> list[httpx.Response]:
        app = function_app(fn, CallOptions("f"), http or HttpOptions(version="abc"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            found = await asyncio.gather(*(client.request(method, path, **given) for method, path, given in requests))
        app.close()
        return list(found)

    return asyncio.run(run())


def post(fn: Callable[..., Any], body: Any, *, http: HttpOptions | None = None, **headers: str) -> httpx.Response:
    return ask(fn, ("POST", "/f", {"json": body, "headers": headers}), http=http)[0]


def test_arguments_and_results_are_typed() -> None:
    answer = post(dot, {"x": [1, "2.5"], "scale": 2})
    assert (answer.status_code, answer.json()) == (200, 7.0)
    assert answer.headers["x-eagleray-version"] == "abc"
    assert post(moved, {"point": {"x": 1}, "by": 0.5}).json() == {"x": 1.5, "y": 0.5}
    assert post(doubled, {"frame": [{"a": 1}]}).json() == [{"a": 2}]
    assert post(later, {"x": 1}).json() == 2


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b'{"x": ["a"]}', 422, "dot: x.0 is 'a': input should be a valid number"),
        (b'{"y": 1}', 422, "dot"),
        (b"{", 422, "dot: the body is no JSON"),
        (b"[]", 422, "dot: give its arguments as one object, by name: x, scale"),
        (b" " * (4 << 20) + b"{}", 413, "send the data in parts"),
    ],
)
def test_what_is_wrong_is_named(content: bytes, status: int, said: str) -> None:
    (answer,) = ask(dot, ("POST", "/f", {"content": content}))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_the_user_s_error_names_the_line_and_no_path() -> None:
    told = post(fails, {"x": 1}).json()
    assert told["status"] == 500
    assert "KeyError: 'no 1 here' (fails, line " in told["detail"]
    assert "/" not in told["detail"]


def test_tables_travel_as_arrow() -> None:
    table = pa.table({"a": [1, 2]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    body = sink.getvalue().to_pybytes()
    given = {"content": body, "headers": TABLE | {"accept": ARROW.decode()}}
    arrow, rows, broken, odd = ask(
        doubled,
        ("POST", "/f?times=3", given),
        ("POST", "/f", {"content": body, "headers": TABLE}),
        ("POST", "/f", {"content": b"no arrow", "headers": TABLE}),
        ("POST", "/f?tims=3", given),
    )
    assert arrow.headers["content-type"] == ARROW.decode()
    assert pa.ipc.open_stream(arrow.content).read_all().to_pydict() == {"a": [3, 6]}
    assert rows.json() == [{"a": 2}, {"a": 4}]
    assert (broken.status_code, odd.status_code) == (422, 422)
    assert "no Arrow IPC stream" in broken.json()["detail"]
    assert "did you mean 'times'" in odd.json()["detail"]
    (no_table,) = ask(dot, ("POST", "/f", {"content": body, "headers": TABLE}))
    assert "takes no table" in no_table.json()["detail"]


def events(answer: httpx.Response) -> list[tuple[str, Any]]:
    assert answer.headers["content-type"] == "text/event-stream"
    found = []
    for block in answer.text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((lines.get("event", "message"), json.loads(lines["data"])))
    return found


def test_generators_answer_as_events() -> None:
    assert events(post(counts, {"to": 3})) == [("message", 0), ("message", 1), ("message", 2)]
    assert [value for _, value in events(post(counts_later, {"to": 2}))] == [{"value": 0}, {"value": 1}]
    told = events(post(counts, {"to": 4}))
    assert [kind for kind, _ in told] == ["message"] * 4 + ["error"]
    assert "ValueError: too far" in told[-1][1]["detail"]
    assert post(counts, {"to": "x"}).status_code == 422


def test_a_client_that_leaves_ends_the_generator() -> None:
    ended: list[bool] = []

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            ended.append(True)

    async def run() -> int:
        app = function_app(endless, CallOptions("f"), HttpOptions())
        has_left = asyncio.Event()
        sent: list[Any] = []
        body: list[Any] = [{"type": "http.request", "body": b"{}"}]

        async def receive() -> Any:
            if body:
                return body.pop()
            await has_left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) > 5:
                has_left.set()

        scope = {"type": "http", "method": "POST", "path": "/f", "headers": [], "query_string": b""}
        await app(scope, receive, send)
        assert ended == [True]
        return len(sent)

    assert 5 < asyncio.run(run()) < 100


def test_a_class_is_set_up_once() -> None:
    made = Stateful(Counter, {"start": 1000})
    first, second, docs = ask(
        made, ("POST", "/f", {"json": {}}), ("POST", "/f", {"json": {"by": 5}}), ("GET", "/f/docs", {})
    )
    assert sorted([first.json(), second.json()])[-1] == 1106
    assert "Counts." in docs.text


def test_the_description_has_the_hints() -> None:
    spec, docs, ready, metrics, lost = ask(
        moved, *(("GET", f"/f/{page}", {}) for page in ("openapi.json", "docs", "ready", "metrics", "nope"))
    )
    found = spec.json()
    body = found["paths"]["/f"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["point", "by"]
    assert body["properties"]["point"] == {"$ref": "#/components/schemas/Point"}
    assert found["components"]["schemas"]["Point"]["required"] == ["x"]
    assert "$defs" not in spec.text
    assert "POST /f" in docs.text
    assert '\\"by\\": 0.5' in docs.text
    assert ready.json() == {"status": "ready", "name": "f", "version": "abc"}
    assert "eagleray_in_flight" in metrics.text
    assert (lost.status_code, "there are /f, /f/health" in lost.json()["detail"]) == (404, True)
    assert found["info"] == {"title": "f", "version": "abc"} or "description" in found["info"]


def test_metrics_count() -> None:
    async def run() -> str:
        app = function_app(dot, CallOptions("f"), HttpOptions(version="v"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            for body in ({"x": [1]}, {"x": [2]}, {"x": "no"}):
                await client.post("/f", json=body)
            return (await client.get("/f/metrics")).text

    lines = asyncio.run(run()).splitlines()
    assert any(line.startswith("eagleray_requests_total{") and line.endswith('status="200"} 2') for line in lines)
    assert any(line.endswith('status="422"} 1') for line in lines)
    assert any('le="+Inf"} 3' in line for line in lines)


def test_keys() -> None:
    http = HttpOptions(keys=ApiKeys.of(["first", "second"]))
    assert post(dot, {"x": [1]}, http=http, authorization="Bearer second").json() == 1.0
    assert post(dot, {"x": [1]}, http=http, **{"x-api-key": "first"}).json() == 1.0
    for wrong in ({}, {"authorization": "Bearer third"}, {"x-api-key": ""}):
        answer = post(dot, {"x": [1]}, http=http, **wrong)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    docs, health = ask(dot, ("GET", "/f/docs", {}), ("GET", "/f/health", {}), http=http)
    assert (docs.status_code, health.status_code) == (401, 200)
    assert "first" not in repr(http)


def test_full_and_late() -> None:
    begun, release = threading.Semaphore(0), threading.Event()

    def waits() -> str:
        begun.release()
        release.wait(30)
        return "done"

    async def run() -> tuple[httpx.Response, list[httpx.Response]]:
        app = function_app(waits, CallOptions("f"), HttpOptions(limits=HttpLimits(in_flight=2)))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            held = [asyncio.create_task(client.post("/f", json={})) for _ in range(2)]
            await asyncio.to_thread(lambda: [begun.acquire(), begun.acquire()])
            refused = await client.post("/f", json={})
            release.set()
            return refused, list(await asyncio.gather(*held))

    refused, held = asyncio.run(run())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "2 requests are in flight here; ask again" in refused.json()["detail"]
    assert [answer.json() for answer in held] == ["done", "done"]

    async def never() -> None:
        await asyncio.Event().wait()

    late = post(never, {}, http=HttpOptions(limits=HttpLimits(timeout_s=0.05)))
    assert late.status_code == 504
    assert "no answer within 0.05 s" in late.json()["detail"]


def test_a_slow_function_does_not_hold_up_the_loop() -> None:
    def spin(seconds: float) -> str:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        return threading.current_thread().name

    async def run() -> None:
        runner = Runner(spin, threads=2)
        assert (await runner.call((0.0,), {})).startswith("eagleray-call")  # unknown yet
        for _ in range(40):
            await runner.call((0.0,), {})
        quick = runner.is_quick
        assert quick
        assert (await runner.call((0.0,), {})) == "MainThread"
        await runner.call((20 * QUICK_S,), {})
        quick = runner.is_quick
        assert not quick
        assert (await runner.call((0.0,), {})).startswith("eagleray-call")
        runner.close()

    asyncio.run(run())
