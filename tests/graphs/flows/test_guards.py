"""What steps do when something fails, takes long, or was asked before."""

import asyncio
import threading
from collections import Counter

import pytest

from eagleray.graphs.flows.cached import cached
from eagleray.graphs.flows.compile import Compiled, compiled
from eagleray.graphs.flows.event import Batch
from eagleray.graphs.flows.meter import Figures
from eagleray.graphs.flows.outside import Outside
from eagleray.graphs.flows.step import Step
from eagleray.graphs.flows.step_options import CacheRule
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import ServerUnavailable
from eagleray.runtime.retries import Retries

from ..parts import LinearModel, TableVector


def double(body):
    return {**body, "x": body["x"] * 2}


def graph(*steps, name="g"):
    g = Graph(name)
    for step in steps:
        g.to(step)
    return g


def test_a_cache_calls_once_a_key_and_time():
    calls = []
    now = [0.0]

    def look(user):
        calls.append(user)
        return {"seen": len(calls)}

    with Compiled.of(graph(Step.calling(look).at(input="user", result="r").cache(ttl_s=60))) as compiled:
        flow = compiled.flow
        found = [flow.run(Batch.of([{"user": name}], "r"))[0]["r"]["seen"] for name in ("a", "b", "a", "b", "a")]
    assert found == [1, 2, 1, 2, 1]
    calls.clear()
    call = cached(look, CacheRule(10, max_entries=2), clock=lambda: now[0])
    assert [call(name)["seen"] for name in ("a", 1, "1", 1, "a")] == [1, 2, 3, 2, 4]  # "a" was pushed out
    now[0] = 10.0
    assert call("a")["seen"] == 5


def test_a_cache_of_an_async_function_shares_what_is_on_its_way():
    calls = []

    async def look(body):
        calls.append(body["x"])
        await asyncio.sleep(0)
        return body

    g = Graph("g")
    g.to(Step.calling(look).cache(ttl_s=9, key="x"))
    assert len(g.test([{"x": number % 3, "n": number} for number in range(30)])) == 30
    assert sorted(calls) == [0, 1, 2]


def test_retries_a_limit_a_fallback_and_a_handler():
    tries: Counter[int] = Counter()

    def flaky(body):
        tries[body["x"]] += 1
        body = {**body, "x": body["x"] + 100}
        if tries[body["x"] - 100] < body["needs"]:
            raise ServerUnavailable("not now")
        return body

    step = Step.calling(flaky).retry(Retries(2, on=(ServerUnavailable,), backoff_s=0.0))
    bodies = [{"x": 1, "needs": 1}, {"x": 2, "needs": 3}, {"x": 3, "needs": 4}]
    assert [one["x"] for one in graph(step).test(bodies[:2])] == [101, 102]
    with pytest.raises(ServerUnavailable):
        graph(step).test(bodies[2])
    assert tries == {1: 1, 2: 3, 3: 3}
    assert graph(step.fallback({"x": "none"})).test({"x": 4, "needs": 9}) == {"id": "test", "x": "none"}
    handled = step.on_error(lambda error, body: {"said": str(error), "x": body["x"]})
    assert graph(handled).to(lambda body: {**body, "on": 1}, name="on").test({"x": 5, "needs": 9})["said"] == "not now"
    with pytest.raises(ServerUnavailable):
        graph(step.on_error(lambda error, body: None)).test({"x": 6, "needs": 9})

    held = threading.Event()

    def slow(body):
        held.wait(10)
        return {"x": "too late"}

    quick = Step.calling(slow).timeout(0.05)
    with pytest.raises(TimeoutError, match=r"no result within 0.05 s"):
        graph(quick).test({})
    assert graph(quick.fallback(lambda body: {"x": "instead"})).test({}) == {"id": "test", "x": "instead"}
    held.set()


def test_a_model_and_its_features_have_fallbacks():
    class Away:
        names = TableVector().names

        def read(self, rows):
            raise ServerUnavailable("no store")

        def moment_us(self, row):
            return 0

    class AwayVector(TableVector):
        def open_reader(self):
            return Away()

    g = Graph("g")
    g.to(g.enrich(AwayVector()).fallback({"amount": 10.0, "cards__count_1d": 2.0, "cards__sum_1d": 10.0}))
    g.to(g.predict(LinearModel())).respond()
    assert g.test({})["score"] == pytest.approx(0.28905, abs=1e-5)

    class Broken(LinearModel):
        def predict(self, rows):
            raise ValueError("broken")

    h = Graph("h")
    h.to(h.predict(Broken(features=("a",))).fallback(0.5)).respond()
    assert h.test({"a": 1}) == {"id": "test", "score": 0.5}


def test_a_served_graph_has_the_same_fallbacks_and_counts_them():
    class Broken(LinearModel):
        def predict(self, rows):
            raise ServerUnavailable("gone")

    for step in (lambda s: s, lambda s: s.threads(1), lambda s: s.batch(max_size=2), lambda s: s.timeout(5)):
        g = Graph("h")
        g.to(step(g.predict(Broken(features=("a",)))).fallback(0.5)).respond()
        figures: dict[str, Figures] = {}
        with compiled("h", g.steps, outside=Outside(meters=figures)) as made:
            batch = Batch.of([{"a": 1}, {"a": 2}], "r")
            answers = asyncio.run(made.flow.run_async(batch))
        assert [one["score"] for one in answers] == [0.5, 0.5]
        assert (figures["predict"].events, figures["predict"].failed) == (2, 2)


def test_what_is_late_changes_nothing_any_more():
    held, done = threading.Event(), threading.Event()

    def slow(event):
        held.wait(10)
        event.body["x"] = "too late"
        event.values["x"] = "too late"
        done.set()

    g = graph(Step.calling(slow).timeout(0.05).fallback({"x": "instead"}))

    def release(event):
        held.set()
        done.wait(10)

    g.to(release).respond("x")
    assert g.test({"x": 0}) == {"id": "test", "x": "instead"}


def test_retries_in_a_list_keep_the_others():
    tries: Counter[int] = Counter()

    async def flaky(body):
        tries[body["x"]] += 1
        if tries[body["x"]] < 1 + body["x"] % 3:
            raise OSError("again")
        return {"x": body["x"] * 10}

    g = graph(Step.calling(flaky).retry(Retries(2, on=(OSError,), backoff_s=0.0)))
    assert [one["x"] for one in g.test([{"x": x} for x in range(9)])] == [x * 10 for x in range(9)]
    assert tries == {x: 1 + x % 3 for x in range(9)}


def test_the_graph_s_handler_answers_for_what_failed():
    def broken(body):
        raise KeyError("no")

    g = graph(broken).on_error(lambda error, body: {"failed": type(error).__name__, "x": body["x"]})
    assert g.test([{"x": 1}, {"x": 2}]) == [{"failed": "KeyError", "x": 1}, {"failed": "KeyError", "x": 2}]


def test_an_error_names_the_step_the_input_s_shape_and_the_user_s_line():
    def broken(body):
        return body["x"] / 0

    with pytest.raises(ZeroDivisionError) as raised:
        graph(double, broken).test({"x": 1, "card": {"id": "7"}, "items": [1.5]})
    (note,) = raised.value.__notes__
    assert note == "in step 'broken' of 'g', given {x: int, card: {id: str}, items: [1 x float]}"
    assert raised.traceback[-1].frame.code.name == "broken"
