"""A pipeline as boxes and arrows, and a run of it with how each step ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..pictures.diagram import Arrow, Box, Diagram
from .node import Edge, Node
from .parameter import Parameter
from .records import CACHED, FAILED, FINISHED, SKIPPED

_MOST_TEXT = 24  # characters of a parameter's default
_KINDS = {FINISHED: "done", CACHED: "done", FAILED: "failed", SKIPPED: "skipped"}


class Ended(Protocol):
    """What a picture tells of a step that has begun."""

    @property
    def status(self) -> str: ...

    @property
    def duration_s(self) -> float | None: ...


def pipeline_diagram(
    name: str,
    parameters: Sequence[Parameter],
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    *,
    ended: Mapping[str, Ended] | None = None,
) -> Diagram:
    """The parameters and steps; where `ended` is given, each step has the colour of its end."""
    boxes = [
        Box(one.name, one.name, "end", () if one.required else (repr(one.default)[:_MOST_TEXT],)) for one in parameters
    ]
    boxes += [_box(node, None if ended is None else ended.get(node.name)) for node in nodes]
    unless = {node.name for node in nodes if node.negated}
    return Diagram(name, tuple(boxes), tuple(dict.fromkeys(_arrow(edge, unless) for edge in edges)))


def _box(node: Node, ended: Ended | None) -> Box:
    notes = []
    if node.kind == "map":
        notes.append("for every item")
    if node.function.__name__ != node.name:
        notes.append(node.function.__name__.strip("<>"))
    if node.cache:
        notes.append("cached")
    kind = {"when": "branch", "map": "parallel"}.get(node.kind, "call")
    if ended is not None:
        kind = _KINDS.get(ended.status, kind)
        took = "" if ended.duration_s is None else f", {ended.duration_s:.3g} s"
        notes.append(f"{ended.status.lower()}{took}")
    return Box(node.name, node.name, kind, tuple(notes), dashed=node.when is not None)


def _arrow(edge: Edge, unless: set[str]) -> Arrow:
    label = "" if edge.argument != "when" else "unless" if edge.target in unless else "if"
    return Arrow(edge.source, edge.target, label)
