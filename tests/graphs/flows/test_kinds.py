"""Every kind of step, in process: what it does to an event."""

import asyncio
import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.flows.event import Batch
from eagleray.graphs.flows.step import Step
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError

from ..parts import LinearModel, TableVector


def double(body):
    return {**body, "x": body["x"] * 2}


async def late(body):
    await asyncio.sleep(0)
    return {**body, "late": True}


def graph(*steps, name="g"):
    g = Graph(name)
    for step in steps:
        g.to(step)
    return g


def test_a_branch_goes_one_way():
    g = Graph("g")
    g.to(g.branch(lambda body: body["x"] > 10, then=[double, late], name="large"))
    assert g.test([{"x": 11}, {"x": 1}]) == [{"id": "test-0", "x": 22, "late": True}, {"id": "test-1", "x": 1}]


def test_a_router_goes_by_name_by_function_and_by_default():
    ways = {"eu": lambda body: {**body, "tax": 20}, "us": lambda body: {**body, "tax": 7}}
    for by in ("user.region", lambda body: body["user"]["region"]):
        g = Graph("g")
        g.to(g.router(ways, by=by, default="us")).respond("tax", "router")
        found = g.test([{"user": {"region": name}} for name in ("eu", "us", "mars")])
        assert [(one["tax"], one["router"]) for one in found] == [(20, "eu"), (7, "us"), (7, "us")]
    g = Graph("g")
    g.to(g.router(ways, by="user.region"))
    with pytest.raises(InputError, match=r"router knows no way 'es'; known: eu, us"):
        g.test({"user": {"region": "es"}})
    with pytest.raises(InputError, match=r"lacks 'user\.region'; did you mean 'religion'"):
        g.test({"user": {"religion": "eu"}})


def test_a_router_by_weight_is_true_to_its_shares_and_to_each_id():
    g = Graph("g")
    g.to(g.router({"a": double, "b": late}, weights={"a": 3, "b": 1})).respond("router")
    bodies = [{"id": str(number), "x": 1} for number in range(4000)]
    ways = [one["router"] for one in g.test(bodies)]
    assert 2800 < Counter(ways)["a"] < 3200
    assert [one["router"] for one in g.test(bodies)] == ways
    h = Graph("h")
    h.to(h.router({"a": double, "b": late}, weights={"a": 1, "b": 1}, by="card")).respond("router")
    found = h.test([{"card": number % 7, "x": 1} for number in range(70)])
    assert len({(number % 7, one["router"]) for number, one in enumerate(found)}) == 7


def test_parallel_ways_see_copies_and_are_joined():
    def spoil(body):
        body["x"] = 0
        body["spoilt"] = True

    g = Graph("g")
    g.to(g.parallel({"one": lambda body: {**body, "one": body["x"]}, "two": [spoil, lambda body: None]}))
    assert g.test({"x": 5}) == {"id": "test", "x": 0, "one": 5, "spoilt": True}
    h = Graph("h")
    h.to(h.parallel({"a": double, "b": lambda body: {**body, "x": 7}}))
    with pytest.raises(InputError, match="'a' and 'b' of 'parallel' both write 'x'"):
        h.test({"x": 1})
    assert h.test({"x": 3.5}) == {"id": "test", "x": 7}  # both write the same


def test_async_ways_wait_together():
    both = asyncio.Barrier(2)

    async def meet(body):
        await asyncio.wait_for(both.wait(), 5)
        return body

    g = Graph("g")
    ways = {"a": meet, "b": [Step.calling(meet, name="too")]}
    g.to(g.parallel(ways, join=lambda results: {"ways": sorted(results)})).respond()
    with pytest.raises(DefinitionError, match="two steps are called 'meet'"):
        Graph("h").to(meet).to(g)
    assert Graph("h").to(g).test({}) == {"id": "test", "ways": ["a", "b"]}


def test_a_join_gets_scores():
    first, second = LinearModel(features=("a",), weights=(1.0,), base=0.0), LinearModel(("a",), (-1.0,), 0.0)
    g = Graph("g")
    ways = {"up": g.predict(first, name="up"), "down": g.predict(second, name="down")}
    with pytest.raises(DefinitionError, match="'up' and 'down' of 'parallel' both predict"):
        g.to(g.parallel(ways))
    g.to(g.parallel(ways, join=lambda r: {"score": r["up"]["score"] - r["down"]["score"]})).respond()
    assert g.test({"a": 0.0}) == {"id": "test", "score": 0.0}
    assert g.test({"a": 5.0})["score"] == pytest.approx(0.98661, abs=1e-5)


def test_filter_flatten_and_map_change_what_there_is():
    g = Graph("g")
    g.to(g.filter(lambda body: body.get("items"), name="some")).to(g.map_items(lambda x: x + 1, over="sizes"))
    g.to(g.flatten("items")).to(g.filter(lambda body: body["x"] > 0, name="positive")).to(double)
    bodies: list[dict[str, Any]] = [
        {"id": "a", "sizes": [1], "items": [{"x": 1}, {"x": -1}, {"x": 2, "id": "own"}]},
        {"id": "b"},
    ]
    assert g.test(bodies) == [[{"id": "a-0", "x": 2}, None, {"id": "own", "x": 4}], None]
    h = Graph("h")
    h.to(h.map_items(lambda x: x + 1, over="sizes", result="more.sizes"))
    assert h.test({"sizes": [1, 2]}) == {"id": "test", "sizes": [1, 2], "more": {"sizes": [2, 3]}}
    with pytest.raises(InputError, match="'sizes' is int"):
        h.test({"sizes": 3})
    with pytest.raises(InputError, match="item 1 of flatten-items is int"):
        Graph("i").to(g.flatten("items")).test({"items": [{}, 3]})


def test_input_and_result_are_places_in_the_body():
    body = {"user": {"name": "Ada"}}
    g = Graph("g").to(str.upper, name="upper", input="user.name", result="user.shout")
    assert g.test(body) == {"id": "test", "user": {"name": "Ada", "shout": "ADA"}}
    assert body == {"user": {"name": "Ada"}}


def test_an_explanation_reaches_no_tap():
    seen = []
    g = Graph("g")
    g.to(g.tap(lambda body: seen.append(body["a"]))).to(g.predict(LinearModel(features=("a", "b"), weights=(1, 1))))
    with Compiled.of(g) as made:
        flow = made.flow
        (told,) = asyncio.run(flow.explain(Batch.of([{"a": 1, "b": 2}], "r")))
        flow.run(Batch.of([{"a": 7, "b": 2}], "r"))
    assert told["contributions"] == {"a": 1.0, "b": 2.0}
    assert seen == [7]


def test_a_check_takes_any_truth():
    for verdict in (True, np.bool_(True), None, 1):
        g = Graph("g")
        assert g.to(g.check(lambda body, verdict=verdict: verdict)).test({"x": 1})["x"] == 1
    for no in (False, np.bool_(False), 0, ""):
        g = Graph("g")
        with pytest.raises(InputError, match="refused"):
            g.to(g.check(lambda body, no=no: no)).test({"x": 1})


def test_defaults_stand_for_null_features():
    g = Graph("g")
    g.to(g.enrich(TableVector(), defaults={"cards__count_1d": 4.0})).respond(lambda event: {"f": event.features})
    found = g.test([{"card_id": "7", "amount": 1}, {"card_id": "nobody", "amount": 1}])
    assert [one["f"]["cards__count_1d"] for one in found] == [2.0, 4.0]


def test_a_tap_costs_nobody_an_answer():
    seen, held = [], threading.Event()

    def watch(body):
        held.wait(10)
        seen.append(body["x"])
        raise ValueError("whatever")

    g = Graph("g")
    g.to(g.tap(watch)).to(double)
    with Compiled.of(g) as compiled:
        began = time.perf_counter()
        answers = [compiled.flow.run(Batch.of([{"x": x}], "r"))[0]["x"] for x in range(5000)]
        assert time.perf_counter() - began < 5
        tapper = getattr(compiled.flow.chain.stages[0].run, "__self__")  # noqa: B009 - mypy knows no bound method here
        assert answers == [2 * x for x in range(5000)]
        assert tapper.dropped >= 5000 - 4097
        held.set()
        tapper.settle()
    assert seen == list(range(5000 - tapper.dropped))
    assert tapper.failed == len(seen)


def test_concurrent_requests_meet_at_the_model_of_an_async_graph():
    g = Graph("g")
    vector = TableVector()
    g.to(late).to(g.enrich(vector)).to(g.predict(LinearModel()).batch(max_size=8, wait_ms=5)).respond()

    async def ask():
        with Compiled.of(g) as compiled:
            batches = [Batch.of([{"card_id": "7", "amount": amount}], "r") for amount in range(20)]
            batches.append(Batch.of([{"amount": 1}], "bad"))
            return await asyncio.gather(*(compiled.flow.run_async(one) for one in batches), return_exceptions=True)

    *good, bad = asyncio.run(ask())
    assert isinstance(bad, InputError)
    plain = Graph("p")
    plain.to(plain.enrich(vector)).to(plain.predict(LinearModel())).respond()
    want = plain.test([{"card_id": "7", "amount": amount} for amount in range(20)])
    assert [answer[0]["score"] for answer in good] == [one["score"] for one in want]
    assert max(vector.reads) > 8


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda g: g.to(g), "cannot contain itself"),
        (lambda g: g.to([double, [g]]), "cannot contain itself"),
        (lambda g: g.to(g.router({"a": double}, by="x")), "has 1 way"),
        (lambda g: g.to(g.router({"a": double, "b": late}, by="x", default="c")), "no way 'c'"),
        (lambda g: g.router({"a": double, "b": late}), "needs by="),
        (lambda g: g.to(g.router({"a": double, "b": late}, weights={"a": 1})), "'b' of 'router' is never taken"),
        (lambda g: g.router({"a": double, "b": late}, weights={"a": -1, "b": 1}), "not negative"),
        (lambda g: g.to(g.parallel({"a": g.flatten("x"), "b": double})), "cannot be joined"),
        (lambda g: g.to(g.branch(len, then=Graph("inner").respond().steps)), "respond\\(\\) ends the graph"),
        (lambda g: g.to(g.branch(len, then=double)).to(double), "two steps are called 'double'"),
        (lambda g: g.to([double, late], input="x"), "one step's"),
        (lambda g: g.to(double, input="a..b"), "no place in a body"),
        (lambda g: g.to(g.branch(len, then=double).timeout(1)), "give it to the steps inside"),
        (lambda g: g.predict(LinearModel()).cache(ttl_s=1), "is not cached"),
        (lambda g: g.remote("localhost:80"), "no address of a service"),
        (lambda g: g.to(g.branch(len, then=g.explain())), "needs a prediction"),
        (lambda g: g.on_error(3), "takes a function"),
        (lambda g: g.branch(late, then=double), "decides at once"),
        (lambda g: g.router({"a": double, "b": double}, by=late), "decides at once"),
        (lambda g: g.parallel({"a": double, "b": double}, join=late), "decides at once"),
        (lambda g: g.flatten("items").retry(1), "takes no retries"),
    ],
)
def test_what_cannot_be_is_told_when_it_is_written(build, said):
    with pytest.raises(DefinitionError, match=said):
        build(Graph("g"))


def test_neighbours_must_fit():
    def counts(body: dict[str, int]) -> int:
        return 1

    def names(body: str) -> str:
        return body

    def numbers(body: float) -> float:
        return body

    g = Graph("g").to(counts, result="n")
    with pytest.raises(DefinitionError, match="'names' does not fit 'counts' before it: it gives int, but str"):
        g.to(names, input="n")
    g.to(numbers, input="n", result="m")
    with pytest.raises(DefinitionError, match="it gives float, but str is taken"):
        g.to(g.check(names).at(input="m"))


def test_a_fallback_of_predict_is_a_score_also_where_requests_meet():
    g = Graph("g")
    g.to(late).to(g.predict(LinearModel(features=("y",), weights=(1.0,))).fallback(0.25))
    assert g.test({"x": 1})["score"] == 0.25
