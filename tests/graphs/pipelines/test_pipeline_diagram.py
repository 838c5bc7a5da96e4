"""What a pipeline looks like, before and after a run."""

from __future__ import annotations

import pytest

from eagleray.graphs.pipelines.pipeline import Pipeline
from eagleray.graphs.pipelines.pipeline_diagram import pipeline_diagram
from eagleray.graphs.pipelines.pipeline_run import PipelineRun
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings


def load(days: int) -> list[int]:
    return list(range(days))


def square(x: int) -> int:
    return x * x


def total(xs: list[int]) -> int:
    return sum(xs)


def is_large(x: int) -> bool:
    return x > 100


def celebrate(x: int) -> str:
    return f"{x}!"


def pipeline() -> Pipeline:
    p = Pipeline("squares")
    days = p.parameter("days", 4)
    data = p.step(load, days, name="data")
    result = p.step(total, p.map(square, over=data), cache=True)
    p.step(celebrate, result, when=p.when(is_large, result))
    return p


def test_parameters_steps_items_and_conditions_are_told_apart():
    p = pipeline()
    diagram = pipeline_diagram(p.name, p.parameters, p.nodes, p.edges)
    assert [(box.key, box.kind, box.notes) for box in diagram.boxes] == [
        ("days", "end", ("4",)),
        ("data", "call", ("load",)),
        ("square", "parallel", ("for every item",)),
        ("total", "call", ("cached",)),
        ("is_large", "branch", ()),
        ("celebrate", "call", ()),
    ]
    assert {(arrow.start, arrow.end, arrow.label) for arrow in diagram.arrows} == {
        ("days", "data", ""),
        ("data", "square", ""),
        ("square", "total", ""),
        ("total", "is_large", ""),
        ("total", "celebrate", ""),
        ("is_large", "celebrate", "if"),
    }
    assert p._repr_svg_() == p.plot().svg


def test_a_run_shows_how_its_steps_ended(tmp_path):
    settings = Settings(home=tmp_path)
    run = pipeline().run(settings=settings, track=False)
    p = pipeline()
    diagram = pipeline_diagram(p.name, p.parameters, p.nodes, p.edges, ended=run.steps)
    kinds = {box.key: box.kind for box in diagram.boxes}
    assert (kinds["total"], kinds["celebrate"]) == ("done", "skipped")
    assert "skipped" in run.plot().svg
    with pytest.raises(InputError, match=r"pipeline.runs\(\)"):
        PipelineRun(run.id, settings).plot()
