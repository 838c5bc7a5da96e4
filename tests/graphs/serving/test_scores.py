"""Scores of every form behind HTTP: a number, one a class, both in one answer; models that requests share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from eagleray.functions.http.arrow_stream import from_stream, to_stream
from eagleray.functions.http.http_app import HttpOptions
from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.asgi import graph_app

from ..parts import LinearModel

ARROW = "application/vnd.apache.arrow.stream"
TWO = LinearModel(("a",), (1.0,), 0.0)


class Three:
    """The shares of three classes."""

    features = ("a",)

    def predict(self, rows: Any) -> Any:
        powers = np.exp(rows * [0.0, 1.0, 2.0])
        return powers / powers.sum(axis=1, keepdims=True)


class Sized(LinearModel):
    """Remembers how many events came at once."""

    def predict(self, rows: Any) -> Any:
        SIZES.append(len(rows))
        if np.isnan(rows).any():
            raise ValueError("a null")
        return super().predict(rows)


SIZES: list[int] = []


def ask(graph: Graph, *requests: dict[str, Any], path: str = "") -> Sequence[httpx.Response]:
    """The answers to requests that are under way at the same time."""

    async def run() -> Sequence[httpx.Response]:
        with Compiled.of(graph) as compiled:
            transport = httpx.ASGITransport(graph_app(compiled, HttpOptions("one")))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await asyncio.gather(*(client.post(f"/g{path}", **one) for one in requests))

    return asyncio.run(run())


def routed() -> Graph:
    g = Graph("g")
    ways = {"two": g.predict(TWO, name="two"), "three": g.predict(Three(), name="three")}
    return g.to(g.router(ways, by="kind")).respond()


BODIES = [{"id": kind, "kind": kind, "a": 1.0} for kind in ("two", "three")]
WANT = [float(TWO.predict(np.ones((1, 1)))[0]), Three().predict(np.ones((1, 1)))[0].tolist()]


def test_one_answer_may_hold_a_number_and_one_a_class() -> None:
    (answer,) = ask(routed(), {"json": BODIES})
    assert [one["score"] for one in answer.json()] == [pytest.approx(WANT[0]), pytest.approx(WANT[1])]


def test_as_arrow_a_number_beside_classes_is_a_list_of_one() -> None:
    headers = {"content-type": ARROW, "accept": ARROW}
    mixed, alone = ask(
        routed(),
        {"content": to_stream(BODIES), "headers": headers},
        {"content": to_stream(BODIES[:1]), "headers": headers},
    )
    scores = from_stream(mixed.content).column("score")
    assert scores.type == pa.list_(pa.float64())
    assert scores.to_pylist() == [pytest.approx([WANT[0]]), pytest.approx(WANT[1])]
    assert from_stream(alone.content).column("score").to_pylist() == [pytest.approx(WANT[0])]


def test_an_ensemble_s_scores_are_columns() -> None:
    g = Graph("g")
    g.to(g.ensemble({"one": TWO, "two": LinearModel(("a",), (2.0,), 0.0)})).respond("scores")
    headers = {"content-type": ARROW, "accept": ARROW}
    (answer,) = ask(g, {"content": to_stream([{"a": 0.0}, {"a": 1.0}]), "headers": headers})
    assert from_stream(answer.content).column("scores").to_pylist()[0] == {"one": 0.5, "two": 0.5}


def test_what_several_classes_score_is_not_explained() -> None:
    rows = np.random.default_rng(0).normal(size=(90, 2))
    model = LogisticRegression().fit(rows, np.digitize(rows[:, 0], [-0.5, 0.5]))
    g = Graph("g")
    g.to(g.predict(model, features=["a", "b"])).respond()
    (answer,) = ask(g, {"json": {"a": 1, "b": 2}}, path="/explain")
    assert answer.status_code == 422
    assert "scores several classes; contributions are given for models of one score" in answer.json()["detail"]


async def late(body: dict[str, Any]) -> None:
    await asyncio.sleep(0)


def sized(**batch: Any) -> Graph:
    SIZES.clear()
    g = Graph("g")
    return g.to(late).to(g.predict(Sized(("a",), (1.0,), 0.0)).batch(**batch)).respond()


def test_requests_share_predictions_up_to_the_size_that_is_set() -> None:
    answers = ask(sized(max_size=8, wait_ms=20), *({"json": {"a": place / 40}} for place in range(40)))
    want = TWO.predict(np.arange(40)[:, None] / 40)
    assert [one.json()["score"] for one in answers] == pytest.approx(want.tolist())
    assert max(SIZES) == 8
    assert sum(SIZES) == 40
    assert len(SIZES) <= 10


def test_a_size_of_one_shares_nothing() -> None:
    ask(sized(max_size=1), *({"json": {"a": 1}} for _ in range(20)))
    assert SIZES == [1] * 20


def test_a_request_of_many_stays_whole() -> None:
    many, one = ask(sized(max_size=4, wait_ms=5), {"json": [{"a": 1}] * 10}, {"json": {"a": 1}})
    assert len(many.json()) == 10
    assert one.status_code == 200
    assert sorted(SIZES) == [1, 10]


def test_who_waits_with_one_that_fails_does_not_fail() -> None:
    bodies = [{"a": None if place == 3 else 1} for place in range(8)]
    answers = ask(sized(max_size=8, wait_ms=20), *({"json": body} for body in bodies))
    assert [one.status_code for one in answers] == [500 if place == 3 else 200 for place in range(8)]
    assert answers[3].json()["step"] == "predict"
    assert SIZES[0] == 8


def test_nobody_waits_longer_than_is_set() -> None:
    (answer,) = ask(sized(max_size=1000, wait_ms=1), {"json": {"a": 1}})
    assert answer.status_code == 200
    assert SIZES == [1]
