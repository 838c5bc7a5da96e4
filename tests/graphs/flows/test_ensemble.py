"""Models that score together, against the rule written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eagleray.graphs.flows.compile import Compiled, modules, resolved, version
from eagleray.graphs.flows.event import Batch
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError, ModelMismatch

from ..parts import LinearModel, TableVector

ONE = LinearModel(("a", "b"), (1.0, 0.5), 0.1)
TWO = LinearModel(("b", "c"), (-1.0, 2.0), 0.0)
THREE = LinearModel(("c", "a", "b"), (0.3, -0.2, 0.7), -0.5)
BODIES = [{"a": float(a), "b": 1.0 - a, "c": 0.25 * a} for a in range(-3, 4)]


class Counted(LinearModel):
    """Counts its calls."""

    def predict(self, rows: Any) -> Any:
        CALLS.append(len(rows))
        return super().predict(rows)


class Value(LinearModel):
    """A linear regression."""

    link = "identity"

    def predict(self, rows: Any) -> Any:
        return self.margins(rows)

    def margins(self, rows: Any) -> Any:
        return self.explain(rows).sum(axis=1)


class Odds(LinearModel):
    """A logistic regression that gives its margins."""

    link = "logit"

    def margins(self, rows: Any) -> Any:
        return self.explain(rows).sum(axis=1)


class Classes:
    """Three classes, the scores of which are given."""

    features = ("a",)

    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def predict(self, rows: Any) -> Any:
        return np.tile(self.scores, (len(rows), 1))


CALLS: list[int] = []


def graph(combine: Any = "mean", models: Any = None, **more: Any) -> Graph:
    g = Graph("g")
    return g.to(g.ensemble(models or {"one": ONE, "two": TWO, "three": THREE}, combine=combine, **more)).respond(
        "scores"
    )


def each(body: dict[str, float]) -> dict[str, float]:
    """Each model's score alone."""
    models = {"one": ONE, "two": TWO, "three": THREE}
    return {
        name: float(model.predict(np.array([[body[feature] for feature in model.features]]))[0])
        for name, model in models.items()
    }


RULES: dict[str, tuple[Any, Any, Any]] = {
    "mean": ("mean", None, lambda s: sum(s.values()) / 3),
    "weighted": (
        "mean",
        {"one": 2, "two": 0, "three": 6},
        lambda s: 0.25 * s["one"] + 0.75 * s["three"],
    ),
    "median": ("median", None, lambda s: sorted(s.values())[1]),
    "max": ("max", None, lambda s: max(s.values())),
    "vote": ("vote", None, lambda s: sum(one >= 0.5 for one in s.values()) / 3),
    "weighted vote": (
        "vote",
        {"one": 2, "two": 1, "three": 1},
        lambda s: sum({"one": 0.5, "two": 0.25, "three": 0.25}[name] for name, one in s.items() if one >= 0.5),
    ),
    "function": (lambda matrix: matrix[:, 0] * matrix[:, 2], None, lambda s: s["one"] * s["three"]),
}


@pytest.mark.parametrize("rule", RULES)
def test_it_scores_by_its_rule(rule: str) -> None:
    combine, weights, by_hand = RULES[rule]
    for body, got in zip(BODIES, graph(combine, weights=weights).test(BODIES), strict=True):
        assert got["scores"] == pytest.approx(each(body))
        assert got["score"] == pytest.approx(by_hand(each(body)))


def test_members_are_called_once_a_batch_and_tell_only_when_asked() -> None:
    CALLS.clear()
    models = {"one": Counted(ONE.features, ONE.weights, ONE.base), "two": Counted(TWO.features, TWO.weights, TWO.base)}
    g = Graph("g")
    with Compiled.of(g.to(g.ensemble(models)).respond()) as compiled:
        batch = Batch.of(BODIES, "r")
        compiled.flow.run(batch)
    assert CALLS == [7, 7]
    assert [event.values for event in batch.events] == [{}] * 7

    def best(event: Any) -> None:
        event.body["best"] = max(event.values["scores"], key=event.values["scores"].get)

    h = Graph("h")
    assert h.to(h.ensemble(models)).to(best).respond("best").test({"a": 9, "b": 0, "c": 0})["best"] == "one"


def test_the_vector_must_give_the_features_of_all() -> None:
    g = Graph("g")
    split = {
        "one": LinearModel(("cards__sum_1d",), (1.0,)),
        "two": LinearModel(("amount", "cards__count_1d"), (1.0, 2.0)),
    }
    g.to(g.enrich(TableVector())).to(g.ensemble(split)).respond("scores")
    got = g.test({"card_id": "7", "amount": 1})
    assert got["scores"] == pytest.approx({"one": 1 / (1 + np.exp(-9)), "two": 1 / (1 + np.exp(-4))})
    h = Graph("h")
    h.to(h.enrich(TableVector())).to(h.ensemble(split | {"two": LinearModel(("amount", "x"), (1.0, 1.0))}))
    with pytest.raises(ModelMismatch, match="lacks x and the model does not know cards__count_1d"):
        h.test({"card_id": "7", "amount": 1})


def test_classes_are_averaged_and_voted_on() -> None:
    models = {"one": Classes(0.6, 0.3, 0.1), "two": Classes(0.1, 0.8, 0.1), "three": Classes(0.5, 0.4, 0.1)}
    assert graph("mean", models).test({"a": 1})["score"] == pytest.approx([0.4, 0.5, 0.1])
    assert graph("vote", models).test({"a": 1})["score"] == pytest.approx([2 / 3, 1 / 3, 0])
    assert graph("max", models).test({"a": 1})["scores"]["two"] == [0.1, 0.8, 0.1]
    with pytest.raises(DefinitionError, match="must score the same classes"):
        graph("mean", {"one": Classes(0.5, 0.5), "two": Classes(0.2, 0.3, 0.5)}).test({"a": 1})


def test_what_adds_up_is_explained_and_what_does_not_is_refused() -> None:
    import asyncio

    def told(g: Graph, body: dict[str, float]) -> dict[str, Any]:
        with Compiled.of(g) as compiled:
            return asyncio.run(compiled.flow.explain(Batch.of([body], "r")))[0]

    values = {"one": Value(*_parts(ONE)), "two": Value(*_parts(TWO))}
    odds = {"one": Odds(*_parts(ONE)), "two": Odds(*_parts(TWO))}
    body = {"a": 1.0, "b": 2.0, "c": -3.0}
    found = told(graph("mean", values, weights={"one": 1, "two": 3}), body)
    assert found["contributions"] == pytest.approx({"a": 0.25, "b": 0.25 * 1.0 - 0.75 * 2.0, "c": -4.5})
    assert found["base_value"] + sum(found["contributions"].values()) == pytest.approx(found["score"])
    found = told(graph("margins", odds), body)
    margin = found["base_value"] + sum(found["contributions"].values())
    assert 1 / (1 + np.exp(-margin)) == pytest.approx(found["score"])
    with pytest.raises(InputError, match="take combine='margins'"):
        told(graph("mean", odds), body)
    g = Graph("g")
    with pytest.raises(DefinitionError, match="'ensemble' has no exact contributions"):
        g.to(g.ensemble(odds, combine="vote")).to(g.explain())
    h = Graph("h")
    assert "base_value" in h.to(h.ensemble(odds, combine="margins")).to(h.explain()).respond().test(body)


def _parts(model: LinearModel) -> tuple[Any, ...]:
    return model.features, model.weights, model.base


def test_the_version_is_members_rule_weights_and_what_is_told() -> None:
    double = lambda matrix: matrix.sum(axis=1)  # noqa: E731 - a one-line rule reads best here
    graphs = [
        graph(), graph("max"), graph(double), graph(lambda matrix: matrix.mean(axis=1)),
        graph(weights={"one": 1, "two": 2, "three": 1}), graph(models={"one": ONE, "two": TWO}),
    ]  # fmt: skip
    versions = [version(resolved(one, None)) for one in graphs]
    assert len(set(versions)) == len(graphs)
    assert version(resolved(graph(), None)) == versions[0]
    assert __name__.rpartition(".")[2] in " ".join(
        modules(resolved(graph(models={"one": Classes(1), "two": ONE}), None))
    )


@pytest.mark.parametrize(
    ("models", "more", "said"),
    [
        ({"one": ONE}, {}, "an ensemble of 1 model"),
        ({"one": ONE, "two": 3}, {}, "3 is no model"),
        ({"one": ONE, "two": "two@champion"}, {}, "no model address 'two@champion'"),
        ({"one": ONE, "two": TWO}, {"combine": "meen"}, "no rule 'meen'; did you mean 'mean'"),
        ({"one": ONE, "two": TWO}, {"weights": {"one": 1}}, "'two' has no weight"),
        ({"one": ONE, "two": TWO}, {"weights": {"one": 1, "two": 1, "too": 1}}, "no model 'too'"),
        ({"one": ONE, "two": TWO}, {"weights": {"one": -1, "two": 1}}, "not negative"),
        ({"one": ONE, "two": TWO}, {"weights": {"one": 0, "two": 0}}, "all weights are 0"),
        ({"one": ONE, "two": TWO}, {"weights": {"one": 1, "two": 1}, "combine": "max"}, "leave them out"),
        ({"one": ONE, "two": TWO}, {"combine": "margins"}, "different links cannot be averaged"),
    ],
)
def test_what_cannot_be_is_told_when_it_is_written(models: Any, more: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Graph("g").ensemble(models, **more)


def test_a_rule_that_loses_rows_is_told() -> None:
    with pytest.raises(DefinitionError, match=r"combine made \(1,\) of \(7, 3\) scores"):
        graph(lambda matrix: matrix[:1, 0]).test(BODIES)
