import time

import numpy as np
import pytest

from eagleray.graphs.flows.compile import Compiled, compiled, version
from eagleray.graphs.flows.event import Batch
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError

from ..parts import LinearModel, ListTap, TableVector, fraud_graph, positive


class Opened:
    """A tap source for this process."""

    def __init__(self, tap):
        self.tap = tap

    def open(self, names):
        assert names == LinearModel().features
        return self.tap


def batch(*amounts):
    return Batch.of([{"card_id": "7", "amount": amount} for amount in amounts], "r")


def test_one_read_and_one_prediction_for_many():
    vector = TableVector()
    flow = Compiled.of(fraud_graph(vector=vector)).flow
    flow.run(batch(*range(1, 65)))
    flow.run_together([batch(1), batch(2, 3), batch(4)])
    assert vector.reads == [64, 4]


def test_together_or_alone_is_the_same():
    flow = Compiled.of(fraud_graph()).flow
    alone = [flow.run(batch(1)), flow.run(batch(2, 3)), flow.run(batch(4))]
    assert flow.run_together([batch(1), batch(2, 3), batch(4)]) == alone


def test_an_error_reaches_only_its_own_request_and_user_code_runs_once():
    calls = []

    def count(body):
        calls.append(body["amount"])

    g = Graph("fraud")
    g.to(count).to(g.check(positive)).to(g.enrich(TableVector())).to(g.predict(LinearModel())).respond()
    flow = Compiled.of(g).flow
    batches = [batch(1), batch(-1), batch(2), Batch.of([{"amount": 3}], "r"), batch(4)]
    results = flow.run_together(batches)
    assert calls == [1, -1, 2, 3, 4]
    assert [isinstance(result, InputError) for result in results] == [False, True, False, True, False]
    assert [batches[1].step, batches[3].step] == ["positive", "enrich"]
    assert results[4] == flow.run(batch(4))


def test_the_tap_gets_what_was_answered_and_nothing_else():
    tap = ListTap()
    steps = fraud_graph().steps
    flow = compiled("fraud", steps, tap=Opened(tap)).flow
    answers = flow.run_together([batch(5), batch(-5), Batch.of([{"amount": 1}], "r")])
    assert isinstance(answers[0], list)
    assert [(taken[0], taken[1], taken[2]) for taken in tap.taken] == [("r", [5.0, 2.0, 10.0], answers[0][0]["score"])]
    assert abs(tap.taken[0][3] - time.time_ns() // 1000) < 60_000_000


def test_contributions_add_up_to_the_margin():
    import asyncio

    tap = ListTap()
    flow = compiled("fraud", fraud_graph().steps, tap=Opened(tap)).flow
    (told,) = asyncio.run(flow.explain(batch(10)))
    margin = told["base_value"] + sum(told["contributions"].values())
    assert 1 / (1 + np.exp(-margin)) == pytest.approx(told["score"])
    assert told["features"] == {"amount": 10.0, "cards__count_1d": 2.0, "cards__sum_1d": 10.0}
    assert tap.taken == []


def test_a_graph_that_reads_needs_a_store():
    from eagleray.graphs.flows.flow import Flow

    with pytest.raises(DefinitionError, match="give it a store"):
        Flow("fraud", fraud_graph().steps)


def test_the_version_is_the_content():
    def build(offset):
        g = Graph("fraud")
        return g.to(lambda body: {"amount": body["amount"] + offset}, name="shift").to(g.predict(LinearModel()))

    assert version(build(1).steps) == version(build(1).steps)
    versions = {version(build(1).steps), version(build(2).steps), version(fraud_graph().steps)}
    versions |= {version(fraud_graph(model=LinearModel(version="2")).steps)}
    assert len(versions) == 4


def test_a_step_costs_about_a_microsecond():
    def nothing(body):
        return None

    g = Graph("steps")
    for place in range(20):
        g.to(nothing, name=f"s{place}")
    flow = Compiled.of(g).flow
    body = {"a": 1}

    def best(run):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(500):
                run()
            times.append((time.perf_counter() - start) / 500)
        return min(times)

    through = best(lambda: flow.run(Batch.of([body], "r")))
    plain = best(lambda: [nothing(body) for _ in range(20)])
    assert (through - plain) / 20 < 3e-6  # some 0.3 us when nothing else runs
