"""Settings of steps that change while a flow runs."""

from __future__ import annotations

import asyncio

import pytest

from eagleray.functions.function import function
from eagleray.graphs.flows.compile import compiled
from eagleray.graphs.flows.event import Batch
from eagleray.graphs.flows.outside import Outside
from eagleray.graphs.flows.tuning import Change, apply, merged, settings_of
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError


def limits(body, *, most=100, least=0):
    return least <= body["x"] <= most


async def plus(body, *, by=1):
    return {"x": body["x"] + by}


class Times:
    def setup(self):
        self.setups = getattr(self, "setups", 0) + 1

    def configure(self, by=2, name=None):
        self.by = by

    def __call__(self, body):
        return {**body, "x": body["x"] * getattr(self, "by", 2), "setups": self.setups}


@function
class Minus:
    def configure(self, *, by=0):
        self.by = by

    def predict(self, body):
        return {**body, "x": body["x"] - getattr(self, "by", 0)}


def graph():
    g = Graph("g")
    g.to(g.check(limits)).to(plus).to(Times).to(Minus)
    return g.to(
        g.router({"a": lambda body: {**body, "way": "a"}, "b": lambda body: body}, weights={"a": 1, "b": 0.0001})
    )


def test_what_a_step_lets_change_is_read_from_its_code():
    found = {step.name: settings_of(step) for step in graph().steps}
    assert found == {
        "limits": {"most": 100, "least": 0},
        "plus": {"by": 1},
        "Times": {"by": 2, "name": None},
        "Minus": {"by": 0},
        "router": {"a": 1, "b": 0.0001},
    }
    cached = Graph("g").to(plus).steps[0].cache(ttl_s=1)
    assert settings_of(cached) is None  # what is kept was made with the old ones


def test_an_update_is_checked_and_adds_up():
    steps = graph().steps
    known = merged(steps, {}, {"limits": {"most": 5}, "router": {"b": 1}})
    assert known == {"limits": {"most": 5}, "router": {"b": 1}}
    assert merged(steps, known, {"limits": {"least": 1}, "router": {"a": 2, "b": 0}}) == {
        "limits": {"most": 5, "least": 1},
        "router": {"a": 2, "b": 0},
    }
    with pytest.raises(InputError, match="no step 'limit' whose settings can change; did you mean 'limits'"):
        merged(steps, {}, {"limit": {}})
    with pytest.raises(InputError, match="limits has no setting 'mots'; did you mean 'most'"):
        merged(steps, {}, {"limits": {"mots": 1}})
    with pytest.raises(InputError, match="router has no setting 'c'"):
        merged(steps, {}, {"router": {"c": 1}})
    for shares, said in (({"a": -1}, "not negative"), ({"a": 0, "b": 0}, "all weights are 0")):
        with pytest.raises(DefinitionError, match=said):
            merged(steps, {}, {"router": shares})


def test_a_flow_changes_between_two_events_and_back():
    changes: dict[str, Change] = {}
    flow = compiled("g", graph().steps, outside=Outside(changes=changes)).flow
    other = compiled("g", graph().steps, outside=Outside(changes={})).flow

    def ask(flow, x):
        return asyncio.run(flow.run_async(Batch.of([{"x": x}], "r")))[0]

    assert ask(flow, 10) == {"id": "r", "x": 22, "setups": 1, "way": "a"}
    live = {"limits": {"most": 9}, "plus": {"by": 5}, "Times": {"by": 3}, "router": {"b": 1}}
    apply(changes, live)
    with pytest.raises(InputError, match="the check said no"):
        ask(flow, 10)
    assert ask(flow, 1) == {"id": "r", "x": 18, "setups": 1}
    assert ask(other, 10)["x"] == 22  # another flow of the same functions has its own
    apply(changes, live | {"Minus": {"by": 1}})
    assert ask(flow, 1)["x"] == 17
    apply(changes, {})
    assert ask(flow, 10) == {"id": "r", "x": 22, "setups": 1, "way": "a"}
