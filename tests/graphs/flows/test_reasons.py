"""Reasons in a graph's answers and explanations, and in the log of decisions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eagleray import DefinitionError, Graph, ReasonCodes
from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.graphs.flows.compile import compiled, version
from eagleray.graphs.flows.event import Batch
from eagleray.graphs.flows.fields import answered
from eagleray.graphs.flows.ports import Floats
from eagleray.graphs.monitoring.profiler import Profiler
from eagleray.graphs.monitoring.tap import TapBuffer

from ..parts import Apart

CODES = ReasonCodes({"R1": "large", "R2": "new"}, version="7", codes={"amount": "R1", "age": "R2"})


@dataclass(frozen=True)
class Carrying:
    """amount - age - 1, a margin, with what a model of ours carries."""

    reasons: ReasonCodes | None = None
    threshold: float | None = None
    features = ("amount", "age")

    def predict(self, rows: Floats) -> Floats:
        out: Floats = self.explain(rows).sum(axis=1)
        return out

    def explain(self, rows: Floats) -> Floats:
        return np.column_stack([rows[:, 0], -rows[:, 1], np.full(len(rows), -1.0)])


def graph(model: Carrying, reasons: ReasonCodes | None = None) -> Graph:
    g = Graph("why")
    g.to(g.predict(model)).to(g.explain(reasons=reasons)).respond()
    return g


@pytest.mark.parametrize("made", [graph(Carrying(CODES)), graph(Carrying(), CODES)])
def test_an_explain_step_answers_with_reasons(made: Graph) -> None:
    told = made.test({"amount": 3.0, "age": 1.0})
    assert told["reasons"] == [{"code": "R1", "text": "large", "contribution": 3.0}]
    assert told["reasons_version"] == "7"
    assert [one["code"] for one in made.test({"amount": 1.0, "age": 2.0})["reasons"]] == ["R2"]
    assert {"reasons", "reasons_version"} <= {*answered(made.steps)}


def test_without_reason_codes_the_answer_is_as_before() -> None:
    made = graph(Carrying())
    assert set(made.test({"amount": 3.0, "age": 1.0})) == {"id", "score", "contributions", "base_value"}
    assert "reasons" not in answered(made.steps)
    assert version(made.steps) != version(graph(Carrying(), CODES).steps)


def test_the_models_threshold_tells_the_side() -> None:
    body = {"amount": 3.0, "age": 1.0}  # a score of 1
    sides = [graph(Carrying(CODES, at)).test(body)["reasons"][0]["code"] for at in (0.5, 1.5)]
    assert sides == ["R1", "R2"]


def test_explain_over_http_needs_no_step() -> None:
    g = Graph("why")
    g.to(g.predict(Carrying(CODES))).respond()
    flow = compiled("why", g.steps).flow
    (told,) = asyncio.run(flow.explain(Batch.of([{"amount": 3.0, "age": 1.0}], "r")))
    assert (told["reasons"][0]["text"], told["reasons_version"]) == ("large", "7")


def test_a_feature_that_the_model_lacks_is_told_when_the_graph_is_made() -> None:
    wrong = ReasonCodes({"R1": "large"}, version="1", codes={"amuont": "R1"})
    with pytest.raises(DefinitionError, match=r"why: reason codes name 'amuont', .* did you mean 'amount'"):
        graph(Carrying(), wrong).test({"amount": 3.0, "age": 1.0})


def test_reasons_are_kept_with_the_decision(tmp_path: Path) -> None:
    def opened() -> Profiler:
        return Profiler(tmp_path, window_us=60_000_000, new=ExactProfile, load=ExactProfile.from_bytes)

    profiler = opened()

    class Source:
        def open(self, names: tuple[str, ...]) -> TapBuffer:
            taps.append(TapBuffer(names, profiler.receive))
            return taps[0]

    taps: list[TapBuffer] = []
    flow = compiled("why", graph(Carrying(CODES)).steps, tap=Source()).flow
    flow.run(Batch.of([{"id": "a", "amount": 3.0, "age": -1.0}, {"id": "b", "amount": -2.0, "age": 0.0}], "r"))
    assert taps[0].close()
    wanted = [("a", ["R1", "R2"], "7"), ("b", ["R1"], "7")]
    for found in (profiler.decisions(["a", "b"]), opened().decisions(["a", "b"])):
        assert list(found.select("request_id", "reasons", "reasons_version").iter_rows()) == wanted


@pytest.mark.parametrize(("model", "reasons"), [(Carrying(CODES, 1.5), None), (Carrying(threshold=1.5), CODES)])
def test_a_model_in_replicas_of_its_own_gives_the_same_reasons(model: Carrying, reasons: ReasonCodes | None) -> None:
    def made(*, apart: bool) -> Graph:
        g = Graph("why")
        predict = g.predict(model)
        g.to(predict.isolate() if apart else predict).to(g.explain(reasons=reasons)).respond()
        return g

    body = {"id": "a", "amount": 3.0, "age": 1.0}
    apart = Apart(made(apart=True))
    assert apart.flow.test(body) == made(apart=False).test(body)
    (told,) = asyncio.run(apart.flow.explain(Batch.of([body], "r")))
    assert [one["code"] for one in told["reasons"]] == ["R2"]
