"""Every kind of step gives the same answers in process, over a dataset, over a stream, and deployed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from eagleray.graphs.graph import Graph
from eagleray.runtime import redis_client, valkey_server
from eagleray.runtime.resources import Resources
from eagleray.runtime.settings import Settings

from .parts import LinearModel, TableVector, positive

BODIES: list[dict[str, Any]] = [
    {"id": f"e{n}", "card_id": str(n % 3 + 6), "amount": float(n % 7 + 1), "kind": "ab?"[n % 3], "sizes": [n, 1]}
    for n in range(30)
]


def kept(body):
    return body["amount"] != 3.0


async def later(body):
    return {**body, "later": body["amount"] + 1}


def count(state, body):
    n = state.get("n", 0) + 1
    return {"n": n}, {**body, "n": n}


def flaky(body):
    if body["amount"] == 5.0:
        raise OSError("always for fives")
    return {**body, "flaky": True}


def looked_up(amount: float) -> float:
    return amount * 100


def every_kind(name: str) -> Graph:
    """All kinds of steps but flatten, queue and remote, which have tests of their own with what they need."""
    g = Graph(name)
    g.to(g.check(positive)).to(g.filter(kept)).to(g.tap(len, name="watch"))
    g.to(g.map_items(lambda size: size + 0.5, over="sizes")).to(later)
    g.to(g.state(count, key="card_id", name="count"))
    g.to(g.step(looked_up).at(input="amount", result="price").cache(ttl_s=60))
    g.to(g.step(flaky).retry(1).fallback(lambda body: {**body, "flaky": False}))
    a = lambda body: {**body, "way": "a"}  # noqa: E731 - two of a kind in a line each
    b = lambda body: {**body, "way": "b"}  # noqa: E731
    g.to(g.router({"a": a, "b": b}, by="kind", default="b"))
    g.to(
        g.router({"blue": later_as("blue"), "green": later_as("green")}, weights={"blue": 1, "green": 2}, name="colour")
    )
    g.to(g.parallel({"one": mark("one"), "two": [mark("two"), mark("three")]}))
    big, small = g.ensemble({"x": LinearModel(), "y": LinearModel(base=1.0)}), g.predict(LinearModel(), name="small")
    g.to(
        g.branch(
            lambda body: body["amount"] > 4,
            then=[g.enrich(TableVector()), big],
            otherwise=[g.enrich(TableVector(), name="e2"), small],
            name="large",
        )
    )
    return g.respond("n", "way", "colour", "price", "flaky", "later", "one", "two", "three", "large", "sizes")


def mark(word: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def marked(body):
        return {**body, word: body["amount"]}

    marked.__name__ = f"mark-{word}"
    return marked


def later_as(word: str) -> Callable[[dict[str, Any]], Any]:
    async def as_word(body):
        return {**body, "as": word}

    as_word.__name__ = f"as-{word}"
    return as_word


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    answers = every_kind("here").test(BODIES)
    assert [answer is None for answer in answers] == [body["amount"] == 3.0 for body in BODIES]
    return [answer for answer in answers if answer is not None]


def test_in_process(expected):
    assert [one["id"] for one in expected] == [body["id"] for body in BODIES if body["amount"] != 3.0]
    assert expected[0] == {
        "id": "e0",
        "score": pytest.approx(0.27091, abs=1e-5),
        "n": 1,
        "way": "a",
        "colour": expected[0]["colour"],
        "price": 100.0,
        "flaky": True,
        "later": 2.0,
        "one": 1.0,
        "two": 1.0,
        "three": 1.0,
        "large": "otherwise",
        "sizes": [0.5, 1.5],
    }
    assert {one["colour"] for one in expected} == {"blue", "green"}
    assert [one["flaky"] for one in expected] == [one["later"] != 6.0 for one in expected]


def test_over_a_dataset(expected, server: Settings):
    made = every_kind(f"m{uuid.uuid4().hex[:12]}").map(pl.DataFrame(BODIES), settings=server)
    assert made.select(expected[0].keys()).to_dicts() == expected


def test_over_a_stream(expected, server: Settings):
    name = uuid.uuid4().hex
    url = server.redis_url or valkey_server.ensure(server.home).url
    with redis_client.connect(server) as client:
        for body in BODIES:
            client.xadd(name, {"json": json.dumps(body)})
        graph = every_kind(f"s{name[:12]}")
        with graph.stream(f"{url.removesuffix('/0')}/{name}", answers=f"out-{name}", settings=server) as stream:
            stream.wait_until_done()
            assert stream.dead_letters() == []
        entries: Any = client.xrange(f"out-{name}")
    assert [json.loads(fields[b"answer"]) for _, fields in entries] == expected


def test_deployed(expected, serving: Settings):
    end = every_kind(f"d{uuid.uuid4().hex[:12]}").deploy(settings=serving, resources=Resources(cpus=0.25))
    try:
        answers = end.call(BODIES)
    finally:
        end.stop()
    assert [answer for answer in answers if answer is not None] == expected
