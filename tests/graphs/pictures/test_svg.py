"""Pictures: boxes never lie on each other, arrows go forward, names cannot break out."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleray.graphs.flows.meter import Figures
from eagleray.graphs.graph import Graph
from eagleray.graphs.pictures.diagram import Arrow, Box, Diagram
from eagleray.graphs.pictures.flow_diagram import flow_diagram
from eagleray.graphs.pictures.layers import layout
from eagleray.graphs.pictures.svg import drawn
from eagleray.runtime.errors import DefinitionError, StorageError

from ..parts import LinearModel, TableVector, fraud_graph

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def diagrams(draw):
    count = draw(st.integers(1, 12))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    boxes = tuple(
        Box(str(n), "x" * draw(st.integers(1, 20)), "call", ("n",) * draw(st.integers(0, 3))) for n in range(count)
    )
    return Diagram("d", boxes, tuple(Arrow(str(a), str(b)) for a, b in chosen))


@given(diagrams())
def test_nothing_lies_on_anything(diagram):
    sizes = {box.key: (20.0 + len(box.title), 20.0 + 10 * len(box.notes)) for box in diagram.boxes}
    placed = layout(diagram, sizes)
    spots = [(*placed.corners[key], *sizes[key]) for key in sizes]
    for number, (x, y, width, height) in enumerate(spots):
        assert min(x, y, placed.width - x - width, placed.height - y - height) >= 0
        for x2, y2, width2, height2 in spots[:number]:
            apart = x + width <= x2 or x2 + width2 <= x or y + height <= y2 + 1e-6 or y2 + height2 <= y + 1e-6
            assert apart
    for arrow, line in zip(diagram.arrows, placed.lines, strict=True):
        assert [x for x, _ in line] == sorted(x for x, _ in line)
        assert line[0][0] == placed.corners[arrow.start][0] + sizes[arrow.start][0]
        assert line[-1][0] == placed.corners[arrow.end][0]
    assert layout(diagram, sizes) == placed


def test_arrows_must_not_go_round_nor_end_nowhere():
    boxes = (Box("a", "a", "call"), Box("b", "b", "call"))
    with pytest.raises(DefinitionError, match="between a, b go round"):
        Diagram("d", boxes, (Arrow("a", "b"), Arrow("b", "a")))
    with pytest.raises(DefinitionError, match="'c', which is no box"):
        Diagram("d", boxes, (Arrow("a", "c"),))


def test_a_graph_has_its_steps_ways_and_figures():
    g = Graph("g")
    ways = {"new": g.predict(LinearModel()).batch(wait_ms=5), "old": g.predict(LinearModel(name="older"))}
    routed = g.router(ways, weights={"new": 1, "old": 3})
    g.to(g.branch(len, then=[g.enrich(TableVector()), routed], name="large"))
    g.to(g.parallel({"a": g.remote("http://user:secret@other:81/p?key=secret"), "b": print}, join=dict)).respond("x")
    diagram = flow_diagram("g", g.steps, figures={"large": Figures(1500, 2, 30, 60_000.0)})
    arrows = {(arrow.start, arrow.end, arrow.label) for arrow in diagram.arrows}
    assert {
        ("large", "enrich", "then"),
        ("large", "parallel", "otherwise"),
        ("router", "predict", "new 25 %"),
        ("router", "predict-2", "old 75 %"),
        ("predict-2", "parallel", ""),
        ("print", "parallel\0join", ""),
        ("respond", "\0answer", ""),
    } <= arrows
    texts = [text.text for text in ET.fromstring(drawn(diagram).svg).iter(f"{SVG}text")]
    assert {"1.5k events, 2 ms, 2 failed", "batches of 32, 5 ms", "older v1", "other:81/p", "answer"} <= set(texts)
    assert not any("secret" in str(text) for text in texts)


def test_names_cannot_break_out():
    title = '<script>alert("1")</script>&'
    svg = drawn(
        Diagram(title, (Box("a", title, "call", (title,)), Box("b", "b", title)), (Arrow("a", "b", title),))
    ).svg
    root = ET.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    assert [text.text for text in root.iter(f"{SVG}text")].count(title) == 3


def test_a_picture_is_kept_and_shown(tmp_path):
    picture = fraud_graph().plot()
    assert picture._repr_svg_() == fraud_graph()._repr_svg_()
    assert picture.save(tmp_path / "fraud.svg").read_text() == picture.svg
    with pytest.raises(StorageError, match="choose another place"):
        picture.save(tmp_path / "no" / "fraud.svg")
