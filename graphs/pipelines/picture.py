"""A pipeline written down: as plain values for pictures, and as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .node import Edge, Node, nodes_in, parameters_in
from .parameter import Parameter


def as_dict(name: str, parameters: Sequence[Parameter], nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, Any]:
    """Nodes, edges and parameters as plain values."""
    return {
        "name": name,
        "parameters": [
            {"name": one.name, "required": one.required, "default": None if one.required else repr(one.default)}
            for one in parameters
        ],
        "nodes": [
            {
                "name": one.name, "kind": one.kind, "function": one.function.__name__, "level": level,
                "cache": one.cache, "retries": one.spec.retries.attempts if one.spec.retries.on else 0,
                "cpus": one.spec.resources.cpus, "gpu": one.spec.resources.gpu,
            }
            for one, level in zip(nodes, levels(nodes), strict=True)
        ],
        "edges": [
            {"source": one.source, "target": one.target, "argument": one.argument, "kind": one.kind} for one in edges
        ],
    }  # fmt: skip


def levels(nodes: Sequence[Node]) -> list[int]:
    """How many nodes must have run before each, along the longest way: those of one level may run at the same time."""
    found: dict[str, int] = {}
    for node in nodes:
        found[node.name] = 1 + max((found[name] for name in (*node.needs, *node.after)), default=-1)
    return list(found.values())


def plan_text(name: str, parameters: Sequence[Parameter], nodes: Sequence[Node]) -> str:
    """A line a node, those of a level together."""
    given = ", ".join(one.name if one.required else f"{one.name}={one.default!r}" for one in parameters)
    lines = [f"{name}({given})"]
    placed = sorted(zip(levels(nodes), range(len(nodes)), nodes, strict=True), key=lambda one: one[:2])
    wide = max((len(node.name) for node in nodes), default=0)
    for level, _, node in placed:
        lines.append(f"  {level}  {node.name:<{wide}}  {'; '.join(_facts(node))}".rstrip())
    return "\n".join(lines)


def _facts(node: Node) -> list[str]:
    facts: list[str] = []
    gates = set() if node.when is None else set(nodes_in(node.when))
    takes = [name for name in node.needs if name not in gates]
    if node.kind == "when":
        facts.append("condition")
    if node.kind == "map":
        facts.append("for every item")
    if takes:
        facts.append(f"takes {', '.join(takes)}")
    if node.after:
        facts.append(f"after {', '.join(node.after)}")
    if node.when is not None:
        asked = ", ".join((*nodes_in(node.when), *parameters_in(node.when)))
        facts.append(f"{'unless' if node.negated else 'if'} {asked}")
    if node.cache:
        facts.append("cached")
    retries = node.spec.retries
    if retries.on and retries.attempts:
        facts.append(f"{retries.attempts} retries")
    needs = node.spec.resources
    if node.kind != "when":
        facts.append(f"{needs.cpus:g} cpus" + (f", {needs.gpu:g} gpu" if needs.gpu else ""))
    return facts
