from types import SimpleNamespace

import pytest

from eagleray.graphs.flows.step import Step
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError, ModelMismatch

from .parts import LinearModel, TableVector, fraud_graph


class Named:
    """A vector whose features are known from its declaration, like a FeatureVector."""

    name = "named"
    on_demand_columns = ()

    def __init__(self):
        self.request = {"amount": "float64"}

    def refs(self):
        return (SimpleNamespace(set_name="cards", feature="count_1d", column="cards__count_1d"),)


def test_a_chain_reads_like_its_trip():
    assert repr(fraud_graph()) == "Graph('fraud': positive -> enrich -> predict -> respond)"
    assert [step.kind for step in fraud_graph().steps] == ["check", "enrich", "predict", "respond"]


def test_it_answers_one_and_many_in_process():
    answer = fraud_graph().test({"id": "t1", "card_id": "7", "amount": 10})
    assert answer["id"] == "t1"
    assert answer["card_id"] == "7"
    assert answer["score"] == pytest.approx(1 / (1 + 2.718281828459045 ** -(0.1 + 1.0 - 1.0 - 1.0)))
    many = fraud_graph().test([{"card_id": "7", "amount": 10}, {"card_id": "unknown", "amount": 1}])
    assert [one["id"] for one in many] == ["test-0", "test-1"]
    assert many[0]["score"] == answer["score"]


def test_a_check_refuses_by_error_by_false_and_by_text():
    with pytest.raises(InputError, match="'amount' must be above 0"):
        fraud_graph().test({"card_id": "7", "amount": 0})
    for verdict, said in ((False, "the check said no"), ("closed on Sundays", "closed on Sundays")):
        g = Graph("shop")
        g.to(g.check(lambda body, verdict=verdict: verdict, name="opening"))
        with pytest.raises(InputError, match=f"opening refused the request: {said}"):
            g.test({})


def test_functions_classes_and_async_functions_are_steps():
    class Shift:
        def setup(self):
            self.by = 5

        def __call__(self, body):
            return {"x": body["x"] + self.by}

    async def double(body):
        return {"x": body["x"] * 2}

    def keep(event):
        event.values["x"] = event.body["x"]

    assert Graph("sums").to(Shift).to(double).to(keep).respond("x").test({"x": 1}) == {
        "id": "test",
        "x": 12,
    }


def test_predict_without_enrich_takes_the_body_s_fields():
    model = LinearModel(features=("a", "b"), weights=(1.0, 1.0), base=0.0)
    g = Graph("plain")
    g.to(g.predict(model)).to(g.explain()).respond(lambda event: {"parts": event.contributions.tolist()})
    answer = g.test({"a": 1, "b": None})
    assert answer["parts"] == [1.0, 0.0, 0.0]
    assert answer["contributions"] == {"a": 1.0, "b": 0.0}
    with pytest.raises(InputError, match="lacks 'b'"):
        g.test({"a": 1})
    with pytest.raises(InputError, match="'b' must be a number, got 'x'"):
        g.test({"a": 1, "b": "x"})


def test_the_columns_of_the_vector_may_stand_in_another_order():
    names = LinearModel().features
    turned = LinearModel(features=names[::-1], weights=LinearModel().weights[::-1])
    body = {"card_id": "7", "amount": 10}
    assert fraud_graph(model=turned).test(body)["score"] == pytest.approx(fraud_graph().test(body)["score"])


def test_a_model_that_does_not_fit_is_refused_by_name():
    with pytest.raises(ModelMismatch, match="lacks cards__sum_9d and the model does not know cards__sum_1d"):
        fraud_graph(model=LinearModel(features=("amount", "cards__count_1d", "cards__sum_9d"))).test({})
    g = Graph("early")
    g.to(g.enrich(Named()))
    with pytest.raises(ModelMismatch, match="the vector lacks cards__sum_1d"):
        g.to(g.predict(LinearModel()))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda g: g.to(g.predict(LinearModel())).to(g.enrich(TableVector())), "put it before"),
        (lambda g: g.to(g.explain()), "put predict before it"),
        (lambda g: g.to(g.enrich(TableVector())).to(g.enrich(TableVector(), name="again")), "a chain holds one"),
        (lambda g: g.to(print).to(print), "two steps are called 'print'"),
        (lambda g: g.respond().to(print), "nothing may follow respond"),
        (lambda g: g.respond(print, print), "takes one function"),
        (lambda g: g.predict("fraud@champion"), "models:/NAME@ALIAS"),
        (lambda g: g.predict(3), "is no model"),
        (lambda g: g.enrich("fraud"), "give a FeatureVector"),
        (lambda g: g.to("check"), "is no step"),
        (lambda g: g.to(type("Idle", (), {})), "give it a __call__"),
        (lambda g: Graph("Not A Name"), "lower-case letters"),
        (lambda g: Step("call", ""), "has no name"),
    ],
)
def test_what_is_wrong_is_told_when_it_is_written(build, said):
    with pytest.raises(DefinitionError, match=said):
        build(Graph("g"))
