"""A pipeline as it is written: what is wrong is told there, with the cure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import cloudpickle
import polars as pl
import pytest

from eagleray import Pipeline, Retries, Timing, function
from eagleray.graphs.pipelines.hints import fits, hint_at, item_of
from eagleray.graphs.pipelines.node import Edge
from eagleray.graphs.pipelines.start import shape_of
from eagleray.runtime.bundle import content_hash
from eagleray.runtime.errors import DefinitionError


class Loaded(TypedDict):
    parts: list[int]
    table: pl.DataFrame


def load(days: int) -> Loaded: ...  # type: ignore[empty-body]


def fit(part: int, depth: int = 3) -> float: ...  # type: ignore[empty-body]


def total(parts: Sequence[float]) -> float: ...  # type: ignore[empty-body]


def good(score: float) -> bool: ...  # type: ignore[empty-body]


def tell(score: float, name: str = "x", *, when: str = "now") -> None: ...


def report(score: float) -> None: ...


def spell(text: str) -> Iterator[str]: ...  # type: ignore[empty-body]


def written() -> tuple[Any, dict[str, Any]]:
    p = Pipeline("demo")
    refs: dict[str, Any] = {"days": p.parameter("days", 30)}
    refs["data"] = p.step(load, days=refs["days"])
    refs["parts"] = p.map(fit, over=refs["data"]["parts"], depth=2, cache=True)
    refs["score"] = p.step(total, refs["parts"], retries=2)
    refs["better"] = p.when(good, refs["score"])
    return p, refs


def test_nodes_edges_and_plan_say_what_is_connected() -> None:
    p, refs = written()
    p.step(report, refs["score"], name="told", when=refs["better"], after=refs["data"])
    assert [(one.name, one.kind, one.needs) for one in p.nodes] == [
        ("load", "step", ()),
        ("fit", "map", ("load",)),
        ("total", "step", ("fit",)),
        ("good", "when", ("total",)),
        ("told", "step", ("total", "good")),
    ]
    assert p.edges == (
        Edge("days", "load", "days", "parameter"),
        Edge("load", "fit", "over", "data"),
        Edge("fit", "total", "parts", "data"),
        Edge("total", "good", "score", "data"),
        Edge("total", "told", "score", "data"),
        Edge("good", "told", "when", "when"),
        Edge("load", "told", "", "after"),
    )
    plan = p.plan().splitlines()
    assert plan[0] == "demo(days=30)"
    assert plan[2] == "  1  fit    for every item; takes load; cached; 1 cpus"
    assert plan[-1] == "  4  told   takes total; after load; if good; 1 cpus"
    shown = p.as_dict()
    assert [one["level"] for one in shown["nodes"]] == [0, 1, 2, 3, 4]
    assert shown["parameters"] == [{"name": "days", "required": False, "default": "30"}]
    assert repr(p) == "Pipeline('demo': load -> fit -> total -> good -> told)"


WRONG: list[tuple[Callable[[Any, dict[str, Any]], object], str]] = [
    (lambda p, r: p.step(load, day=1, name="l"), "demo: l: no argument 'day'; did you mean 'days'"),
    (lambda p, r: p.step(total, name="t"), "demo: t: missing a required argument: 'parts': give it a value"),
    (lambda p, r: p.step(total, 1, 2, name="t"), "too many positional arguments: it takes parts"),
    (lambda p, r: p.step(total, r["parts"]), "there is a step 'total' already: call this one another with name="),
    (lambda p, r: p.step(total, r["parts"], name="days"), "'days' is a parameter: call the step another"),
    (lambda p, r: p.step(total, r["parts"], name="a b"), "'a b' cannot name a step"),
    (lambda p, r: p.step(lambda: 1), "a lambda has no name: give name="),
    (lambda p, r: p.step(3), "@function takes a function or a class"),
    (lambda p, r: p.step(r["data"]), "load stands where a function is wanted"),
    (lambda p, r: p.step(total, r["data"], name="t"), "t takes parts as .*Sequence.*, and load is Loaded"),
    (lambda p, r: p.step(total, r["parts"], after=3, name="t"), "after= takes what p.step"),
    (lambda p, r: p.step(total, r["parts"], after=[3], name="t"), "after= takes what p.step"),
    (lambda p, r: p.step(total, r["parts"], when=True, name="t"), "when=True is known now: give p.when"),
    (lambda p, r: p.step(total, [r["better"]], name="t"), "t: parts is a condition: a step takes it as when="),
    (
        lambda p, r: p.step(tell, 1.0, when=r["better"]),
        "tell has an argument 'when' of its own, and when= is the step's",
    ),
    (lambda p, r: p.step(tell, "high"), "tell takes score as float, and it is str: put a step between"),
    (lambda p, r: p.step(fit, r["data"]["table"], name="f"), r"load\['table'\] is DataFrame"),
    (lambda p, r: r["data"]["pars"], "load has no 'pars'; did you mean 'parts'"),
    (lambda p, r: r["score"]["x"], r"total is a float: it has no \['x'\]"),
    (lambda p, r: r["data"][1.5], "take a name or a place"),
    (lambda p, r: list(r["parts"]), "fit is known only when the pipeline runs: p.map"),
    (lambda p, r: 1 if r["better"] else 2, "good is known only when the pipeline runs: p.step"),
    (lambda p, r: p.map(fit, over=r["score"], name="f"), "total is a float: over= takes a list"),
    (lambda p, r: p.map(fit, over=None, name="f"), "goes over None: over= takes a list"),
    (lambda p, r: p.map(spell, over=r["parts"]), "spell takes text as str, and an item is float"),
    (lambda p, r: p.parameter("days"), "there is a parameter 'days' already"),
    (lambda p, r: p.parameter("on"), r"run\(\) has an argument 'on' of its own"),
    (lambda p, r: p.parameter("class"), "'class' cannot name a parameter"),
    (lambda p, r: p.parameter("x", "a", type=int), "the default of x, 'a', is no"),
    (lambda p, r: p.run(dais=3), "no parameter 'dais'; did you mean 'days'"),
    (lambda p, r: p.run(days="three"), "days='three' is no int"),
    (lambda p, r: p.submit(dais=3), "no parameter 'dais'; did you mean 'days'"),
    (lambda p, r: p.schedule("@daily", dais=3, name="x"), "no parameter 'dais'; did you mean 'days'"),
    (lambda p, r: p.schedule(Timing("@daily"), name="x"), "no parameter 'name'; known: days"),
    (lambda p, r: p.run(on="moon"), 'on=\'moon\'; give "here" or "ray"'),
    (lambda p, r: p.run(at_once=0), "at_once=0; give at least 1"),
    (lambda p, r: Pipeline("none").run(), "none has no steps"),
    (lambda p, r: Pipeline("a/b"), "'a/b' cannot name a pipeline"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_what_is_wrong_is_told_where_it_is_written(
    wrong: Callable[[Any, dict[str, Any]], object], message: str
) -> None:
    p, refs = written()
    before = p.nodes
    with pytest.raises((DefinitionError, TypeError), match=message) as caught:
        wrong(p, refs)
    assert "\n" not in str(caught.value)
    assert p.nodes == before, "what is refused leaves nothing behind"


def test_what_belongs_to_another_pipeline_is_refused() -> None:
    _, refs = written()
    other = Pipeline("other")
    for use in (
        lambda: other.step(total, refs["parts"]),
        lambda: other.step(total, [refs["parts"], 1]),
        lambda: other.step(load, refs["days"]),
        lambda: other.step(load, 1, when=refs["better"]),
        lambda: other.map(fit, over=refs["data"]["parts"]),
    ):
        with pytest.raises(DefinitionError, match="belongs to pipeline 'demo', not to 'other'"):
            use()
    assert other.nodes == ()
    other.step(load, other.parameter("must"))
    with pytest.raises(DefinitionError, match="other: must='x' is no int"):  # as `load` asks
        other.run(must="x")
    with pytest.raises(DefinitionError, match=r"other needs its parameter 'must': run\(must=...\)"):
        other.run()


def test_an_argument_named_like_a_word_of_step_goes_by_place() -> None:
    p = Pipeline("words")
    p.step(tell, 1.0, "given", name="told")
    (node,) = p.nodes
    assert (node.name, node.labels) == ("told", ("score", "name"))


def test_retries_of_a_step_are_for_any_error_those_of_a_function_for_its_own() -> None:
    p = Pipeline("retries")
    p.step(function(retries=Retries(5))(total), [1.0], name="own")
    p.step(total, [1.0], name="number", retries=2)
    p.step(total, [1.0], name="named", retries=Retries(1, on=(OSError,), backoff_s=0.5))
    found = {node.name: node.spec.retries for node in p.nodes}
    assert (found["own"].attempts, found["own"].on) == (5, ())
    assert (found["number"].attempts, found["number"].on) == (2, (Exception,))
    assert (found["named"].on, found["named"].backoff_s) == ((OSError,), 0.5)


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        (int, float, True), (float, int, False), (bool, int, True), (int, str, False), (type(None), int, False),
        (int | None, int, True), (int, int | None, True), (list[int], list[float], True), (list[int], list[str], False),
        (list[int], Sequence[int], True), (list[int], tuple[int, ...], False), (tuple[int, str], list[int], False),
        (tuple[int, int], tuple[int, ...], True), (tuple[int, str], tuple[int, ...], False),
        (dict[str, int], dict[str, str], False),
        (dict[str, int], Any, True), (object, int, True), (Literal["a"], str, True), (Literal["a"], int, False),
        (str, Literal["a", "b"], True), (Annotated[int, "x"], int, True), (Loaded, dict[str, Any], True),
        (pl.DataFrame, pl.DataFrame, True), (pl.DataFrame, int, False), (Exception, ValueError, True),
        (int, "later", True),
        (Callable[[int], int], Callable[..., Any], True), (list, list[int], True), (str, Sequence[str], True),
    ],
)  # fmt: skip
def test_types_that_fit(given: Any, wanted: Any, expected: bool) -> None:
    assert fits(given, wanted) is expected


def test_the_type_of_what_is_inside() -> None:
    assert hint_at(Loaded, "parts", "x") == list[int]
    assert hint_at(dict[str, float], "a", "x") is float
    assert hint_at(tuple[int, str], 1, "x") is str
    assert hint_at(list[str], 0, "x") is str
    assert hint_at(pl.DataFrame, "a", "x") is Any
    assert item_of(list[str], "x") is str
    assert item_of(tuple[int, ...], "x") is int
    with pytest.raises(DefinitionError, match="x has 2 items: there is none at 2"):
        hint_at(tuple[int, str], 2, "x")
    with pytest.raises(DefinitionError, match="its items have places, not names"):
        hint_at(list[int], "a", "x")


def test_a_pipeline_travels_and_is_the_same_in_another_process(tmp_path: Path) -> None:
    p, refs = written()
    p.step(report, refs["score"], name="told", when=~refs["better"])
    again = cloudpickle.loads(cloudpickle.dumps(p))
    assert shape_of(again.nodes) == shape_of(p.nodes)
    assert again.parameters[0].required is False
    file = tmp_path / "flow_of_test.py"
    file.write_text(
        "from eagleray import Pipeline\n"
        "def one(x: int = 1) -> int: return x\n"
        "p = Pipeline('p'); p.step(one, p.parameter('x', 3)); p.parameter('must')\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from flow_of_test import p; from eagleray.runtime.bundle import content_hash\n"
        "print(content_hash(p.as_function().callable))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": str(seed)}
        ).stdout
        for seed in (1, 2)
    }
    assert len(hashes) == 1, "a schedule that has not changed is not made anew"
    assert len(content_hash(p.as_function().callable)) == 64
