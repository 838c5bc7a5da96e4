"""Which steps run where: a pure decision."""

from __future__ import annotations

import pytest

from eagleray.autoscaling.scale import Scale
from eagleray.functions.function import function
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.resources import Resources

from ..parts import LinearModel, TableVector


def a(body):
    return body


def b(body):
    return body


def c(body):
    return body


def told(graph, **given):
    plan = graph.plan(**given)
    return {part.name: (part.names, part.reason) for part in plan.parts}


def step(fn, **needs):
    return Graph("x").to(fn).steps[0].needs(**needs)


def test_what_asks_for_nothing_stays_together():
    g = Graph("g")
    g.to(a).to(g.enrich(TableVector())).to(g.predict(LinearModel(), cpus=2)).respond()
    assert told(g) == {}
    assert g.plan().ingress.resources == Resources(cpus=2)
    assert "takes the requests; one part is fastest" in str(g.plan())


def test_a_gpu_packages_a_scale_and_a_wish_each_make_a_part():
    g = Graph("g")
    g.to(a).to(g.predict(LinearModel(), gpu=0.25)).respond()
    assert told(g) == {"predict": (("predict",), "0.25 GPU, the ingress has none")}
    assert g.plan().parts[0].resources == Resources(cpus=0.5, gpu=0.25)
    # An ingress that was given a GPU has one for the step, and what needs none stays beside it.
    assert told(g, resources=Resources(gpu=1)) == {}

    packaged = function(packages=["left-pad"])(b)
    scaled = function(scale=Scale(min=0, max=4))(c)
    g = Graph("g").to(a).to(packaged).to(scaled)
    assert told(g) == {"b": (("b",), "needs left-pad"), "c": (("c",), "scales by itself")}
    assert g.plan().parts[1].scale == Scale(min=0, max=4)
    assert told(g, scale=Scale(min=0, max=4)).keys() == {"b"}  # it is the ingress' own

    g = Graph("g").to(a).to(step(b, cpus=2).isolate(scale=Scale(max=3), packages=["left-pad"]))
    (part,) = g.plan().parts
    assert (part.scale.max, part.packages, part.resources.cpus) == (3, ("left-pad",), 2)
    assert part.reason == "it asks for replicas of its own"


def test_one_place_for_all_is_the_ingress():
    heavy = [function(packages=["left-pad"], gpu=0.5)(fn) for fn in (a, b)]
    plan = Graph("g").to(heavy[0]).to(heavy[1]).respond().plan()
    assert plan.parts == ()
    assert (plan.ingress.packages, plan.ingress.resources.gpu) == (("left-pad",), 1.0)
    assert Graph("g").to(step(a).isolate()).plan().parts[0].name == "a"


def test_neighbours_of_one_place_share_it():
    g = Graph("g").to(a).to(step(b).isolate()).to(step(c, cpus=1).isolate())
    (part,) = g.plan().parts
    assert (part.names, part.reason) == (("b", "c"), "they ask for replicas of their own")
    g = Graph("g").to(step(a).isolate()).to(b).to(step(c).isolate())
    assert list(told(g)) == ["a", "c"]
    big = [step(fn, gpu=0.75) for fn in (b, c)]
    assert Graph("g").to(a).to(big[0]).to(big[1]).plan().parts[0].resources.gpu == 2  # no machine gives 1.5


def test_explain_goes_with_its_model():
    g = Graph("g")
    g.to(a).to(g.predict(LinearModel()).isolate()).to(g.explain()).respond()
    assert told(g)["predict"][0] == ("predict", "explain")
    g = Graph("g")
    g.to(g.predict(LinearModel()).isolate()).to(a).to(g.explain())
    assert told(g)["predict"][0] == ("predict",)
    g = Graph("g")
    g.to(g.predict(LinearModel())).to(g.explain().isolate())
    with pytest.raises(DefinitionError, match="isolate the predict step"):
        g.plan()


def test_what_stands_inside_others_has_its_own_place():
    g = Graph("g")
    g.to(g.branch(lambda body: True, then=[step(a), step(b).isolate()], otherwise=step(c, gpu=1), name="big"))
    assert list(told(g)) == ["b", "c"]
    assert g.plan().ingress.names == ("big", "a", "b", "c")
    g = Graph("g")
    g.to(a).to(g.parallel({"one": step(b, gpu=0.5), "two": step(c, cpus=2)}, name="both").isolate())
    (part,) = g.plan().parts
    assert (part.names, part.resources) == (("both", "b", "c"), Resources(cpus=2, gpu=0.5))


def test_it_prints_as_a_table():
    g = Graph("shop")
    g.to(a).to(step(b, cpus=1, gpu=0.5, memory_bytes=1 << 30).isolate(scale=Scale(max=4), packages=["left-pad"]))
    assert str(g.plan()).splitlines() == [
        "shop: 2 parts",
        "part     steps  replicas  each asks                 packages  why",
        "ingress  a      1         0.5 CPU                   -         takes the requests; what asks for nothing "
        "else stays with it",
        "b        b      1-4       1 CPU, 0.5 GPU, 1024 MiB  left-pad  it asks for replicas of its own",
    ]


def test_what_stands_behind_a_queue_is_beside_the_ingress():
    g = Graph("g")
    g.to(a).to(g.queue(workers=2)).to(step(b, gpu=1))
    plan = g.plan()
    assert (plan.parts, plan.ingress.resources.gpu) == ((), 0)
    assert [(tail.names, tail.scale.max, tail.resources.gpu) for tail in plan.tails] == [(("b",), 2, 1)]
    assert "behind a queue" in str(plan)
