"""Steps in a part of their own, in one process: the same answers as in one part, through bytes."""

from __future__ import annotations

import asyncio
import pickle
import threading

import cloudpickle
import httpx
import numpy as np
import pytest

from eagleray.graphs.flows.event import Batch
from eagleray.graphs.flows.travel import RUN, opened_event, packed_event
from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.deployment import Deployment, Serving
from eagleray.runtime.errors import InputError, ServerUnavailable
from eagleray.runtime.settings import Settings

from ..parts import Apart, LinearModel, TableVector, positive

BODY = {"id": "t1", "card_id": "7", "amount": 10}


def double(body):
    return {**body, "x": body["x"] * 2}


async def late(body):
    await asyncio.sleep(0)
    return {**body, "late": True}


def wrong(body):
    raise ValueError(f"no {body['x']}")


def isolated(fn):
    return Graph("x").to(fn).steps[0].isolate()


def cards(**changes):
    g = Graph("cards")
    wishes = {"check": False, "enrich": False, "predict": False} | changes
    steps = [g.check(positive), g.enrich(TableVector()), g.predict(LinearModel())]
    for one in steps:
        g.to(one.isolate() if wishes[one.kind] else one)
    return g.respond("card_id")


def graphs():
    yield cards(predict=True), [BODY, BODY | {"amount": 2}]
    yield cards(enrich=True), [BODY]
    yield cards(check=True, enrich=True, predict=True), [BODY]
    g = cards(predict=True)
    yield Graph("explained").to(list(g.steps[:-1])).to(g.explain()).respond("card_id"), [BODY]
    g = Graph("later")
    g.to(g.predict(LinearModel(features=("amount",), weights=(1.0,))).isolate()).to(late).to(g.explain())
    yield g.respond("late"), [BODY]
    yield Graph("calls").to(isolated(double)).to(isolated(late)).to(double, name="again"), [{"x": 1}, {"x": 2}]
    g = Graph("lists")
    g.to(g.flatten("items").isolate()).to(g.filter(lambda body: body["x"] > 1).isolate()).to(double)
    yield g, [{"items": [{"x": 1}, {"x": 2}, {"x": 3}]}]
    g = Graph("ways")
    g.to(
        g.branch(
            lambda body: body["x"] > 1,
            then=[isolated(double), Graph("x").to(double, name="again")],
            otherwise=isolated(late),
            name="big",
        )
    )
    yield g, [{"x": 1}, {"x": 2}]
    g = Graph("both")
    g.to(g.parallel({"one": isolated(late), "two": lambda body: {**body, "two": 2}}))
    yield g, [{"x": 1}]
    g = Graph("whole")
    g.to(g.router({"one": late, "two": double}, by="way").isolate()).to(double, name="again")
    yield g, [{"x": 1, "way": "one"}, {"x": 1, "way": "two"}]


@pytest.mark.parametrize(("graph", "bodies"), [pytest.param(*case, id=case[0].name) for case in graphs()])
def test_the_answers_are_those_of_one_part(graph, bodies):
    apart = Apart(graph)
    assert apart.plan.parts
    assert apart.flow.test(bodies) == graph.test(bodies)
    assert set(apart.calls) <= {part.name for part in apart.plan.parts}


def test_explain_asks_the_model_where_it_is():
    apart, here = Apart(cards(predict=True)), cards()
    found = asyncio.run(apart.flow.explain(Batch.of([BODY], "r")))
    assert found == asyncio.run(Apart(here).flow.explain(Batch.of([BODY], "r")))
    assert getattr(apart.flow.model, "name", None) == "linear"
    assert sum(found[0]["contributions"].values()) + found[0]["base_value"] == pytest.approx(
        np.log(found[0]["score"] / (1 - found[0]["score"]))
    )


def test_an_error_is_its_own_with_the_users_frame():
    apart = Apart(Graph("g").to(isolated(wrong)))
    batch = Batch.of([{"x": 1}], "r")
    with pytest.raises(ValueError, match="no 1") as caught:
        asyncio.run(apart.flow.run_async(batch))
    assert batch.step == "wrong"
    assert "in wrong" in str(caught.value.__cause__)
    assert caught.value.__notes__ == ["in step 'wrong' of 'g', given {x: int}"]
    g = Graph("g").to(isolated(wrong).fallback({"x": 0})).to(double)
    assert Apart(g).flow.test({"x": 1}) == {"id": "test", "x": 0}
    g = Graph("g")
    g.to(g.predict(LinearModel(features=("y",), weights=(1.0,))).isolate().fallback(0.25))
    assert Apart(g).flow.test({"x": 1})["score"] == 0.25


def test_one_request_of_several_fails_alone():
    def odd(body):
        if body["x"] % 2:
            raise InputError("odd")

    apart = Apart(Graph("g").to(isolated(odd)))

    async def ask():
        requests = [apart.flow.run_async(Batch.of([{"x": x}], "r")) for x in range(6)]
        return await asyncio.gather(*requests, return_exceptions=True)

    found = asyncio.run(ask())
    assert [isinstance(one, InputError) for one in found] == [False, True] * 3
    assert apart.calls == ["odd"]  # what came in one turn travelled together


def test_calls_that_reach_a_part_together_are_worked_on_together():
    vector = TableVector()
    g = Graph("cards")
    app = Apart(g.to(g.enrich(vector).isolate())).apps["enrich"]
    asked = [pickle.dumps((RUN, [packed_event(event)])) for event in Batch.of([BODY] * 3, "r").events]

    async def ask():
        return await asyncio.gather(*(app.answer(one) for one in asked))

    assert len(asyncio.run(ask())) == 3
    assert vector.reads == [3]
    assert app.in_flight() > 0


def test_a_rehearsal_is_kept_for_replicas_to_come_and_changes_nothing():
    told: list[object] = []
    g = Graph("g")
    g.to(isolated(double)).to(g.tap(told.append).isolate())
    apart = Apart(g)
    kept: list[bytes] = []
    apart.apps["double"].keep = kept.append
    asyncio.run(apart.flow.warm_up([{"x": 1}, {"x": 2}]))
    assert (len(kept), told) == (1, [])
    assert asyncio.run(apart.apps["double"].answer(kept[0]))
    with pytest.raises(KeyError, match="x"):
        asyncio.run(apart.flow.warm_up([{"y": 1}]))
    kept.clear()
    apart.flow.test({"x": 1})
    assert kept == []


def test_what_cannot_travel_fails_alone_and_says_so():
    apart = Apart(
        Graph("g").to(lambda body: {**body, "lock": threading.Lock()} if body["x"] else body).to(isolated(late))
    )
    with pytest.raises(InputError, match="cannot travel to its replicas"):
        apart.flow.test({"x": 1})
    back = Apart(Graph("g").to(isolated(lambda body: {**body, "lock": threading.Lock()})).to(late))
    with pytest.raises(TypeError, match="cannot travel back"):
        back.flow.test({"x": 1})


def test_a_part_that_is_away_is_an_error_of_its_step():
    g = Graph("g").to(isolated(double).retry(2))
    apart = Apart(g)
    answer, left = apart.apps["double"].answer, [2]

    async def flaky(asked):
        if left[0]:
            left[0] -= 1
            raise ServerUnavailable("no replica of double")
        return await answer(asked)

    apart.apps["double"].answer = flaky  # type: ignore[method-assign]
    assert apart.flow.test({"x": 1}) == {"id": "test", "x": 2}
    left[0] = 9
    with pytest.raises(ServerUnavailable, match="no replica of double"):
        apart.flow.test({"x": 1})


def test_an_event_travels_whole():
    (event,) = Batch.of([{"x": {"y": [1]}}], "r").events
    event.values, event.names, event.row, event.score = {"a": 1}, ("f",), np.array([1.5]), [0.1, 0.9]
    twin = opened_event(packed_event(event))
    assert (twin.id, twin.body, twin.values, twin.names, twin.score) == ("r", event.body, {"a": 1}, ("f",), [0.1, 0.9])
    assert twin.row is not None
    assert twin.row.tolist() == [1.5]


def test_what_is_deployed_answers_also_without_a_server(settings: Settings):
    """The packed makers of ingress and part, opened here and put together as replicas are."""
    graph = cards(predict=True)
    how = Serving(settings, warm_up=[BODY])
    made = Deployment.of(graph, how)
    service = made.service(graph, how)
    packed, release = service.packed(), service.release()
    part = cloudpickle.loads(packed[release.parts[0].build])()
    calls: list[bool] = []

    async def call(asked: bytes, may_repeat: bool) -> bytes:
        calls.append(may_repeat)
        answer: bytes = await part.answer(asked)
        return answer

    front = cloudpickle.loads(packed[release.build])({"predict": call})

    async def ask() -> httpx.Response:
        await front.warm_up()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://test") as client:
            return await client.post("/cards", json=BODY)

    assert asyncio.run(ask()).json() == graph.test(BODY)
    assert calls == [True, True]
    assert Deployment.of(cards(predict=True), how).service(graph, how).release().key == release.key
    other = Deployment.of(cards(predict=True, check=True), how).service(graph, how).release()
    assert other.parts[-1].build == release.parts[0].build  # an unchanged part keeps its replicas
    assert other.build != release.build
