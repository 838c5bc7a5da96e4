"""What a pipeline is made of: nodes, where their arguments come from, and the edges between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ...functions.calls.spec import FunctionSpec
from ...functions.function import Function

Key = str | int
Path = tuple[Key, ...]
Kind = Literal["step", "map", "when"]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is known when the pipeline is written."""

    value: Any


@dataclass(frozen=True, slots=True)
class FromParameter:
    """A parameter's value, or with a `path` what is in it."""

    name: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class FromNode:
    """The output of another node, or with a `path` what is in it."""

    node: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Built:
    """A list, tuple or dict that holds outputs or parameters; `keys` are those of a dict."""

    kind: Literal["list", "tuple", "dict"]
    parts: tuple[Source, ...]
    keys: tuple[Any, ...] = ()

    def filled(self, values: list[Any]) -> Any:
        """The same of values."""
        if self.kind == "dict":
            return dict(zip(self.keys, values, strict=True))
        return tuple(values) if self.kind == "tuple" else values


Source = Constant | FromParameter | FromNode | Built


@dataclass(frozen=True, slots=True)
class Node:
    """A step, a step for every item of a list ("map", the items being `over`), or a condition ("when").

    `args` and `kwargs` are the function's arguments (of a map all but the first, which is the item). A node runs when
    what it needs has ended, and is skipped where `when` gives something false or something it needs was skipped;
    `after` only orders.
    """

    name: str
    kind: Kind
    function: Function[..., Any]
    spec: FunctionSpec
    args: tuple[Source, ...] = ()
    kwargs: tuple[tuple[str, Source], ...] = ()
    over: Source | None = None
    when: Source | None = None
    negated: bool = False
    after: tuple[str, ...] = ()
    cache: bool = False
    labels: tuple[str, ...] = field(default=(), repr=False)  # the parameters that `args` go to

    @property
    def named(self) -> Iterator[tuple[str, Source]]:
        """Where each argument comes from, by the argument's name; "over" and "when" among them."""
        yield from zip(self.labels, self.args, strict=True)
        yield from self.kwargs
        if self.over is not None:
            yield "over", self.over
        if self.when is not None:
            yield "when", self.when

    @property
    def needs(self) -> tuple[str, ...]:
        """The nodes whose outputs it takes, each once."""
        return tuple(dict.fromkeys(name for _, source in self.named for name in nodes_in(source)))


@dataclass(frozen=True, slots=True)
class Edge:
    """`source` is a node's or a parameter's name; `argument` what it is to the target ("" where it only orders)."""

    source: str
    target: str
    argument: str
    kind: Literal["data", "parameter", "when", "after"]


def nodes_in(source: Source) -> Iterator[str]:
    """The nodes that a source takes outputs of."""
    if isinstance(source, FromNode):
        yield source.node
    elif isinstance(source, Built):
        for part in source.parts:
            yield from nodes_in(part)


def parameters_in(source: Source) -> Iterator[str]:
    """The parameters in a source."""
    if isinstance(source, FromParameter):
        yield source.name
    elif isinstance(source, Built):
        for part in source.parts:
            yield from parameters_in(part)


def edges_of(node: Node) -> Iterator[Edge]:
    """The edges that end in a node."""
    for argument, source in node.named:
        kind: Literal["data", "when"] = "when" if argument == "when" and source is node.when else "data"
        for name in dict.fromkeys(nodes_in(source)):
            yield Edge(name, node.name, argument, kind)
        for name in dict.fromkeys(parameters_in(source)):
            yield Edge(name, node.name, argument, "parameter")
    for name in node.after:
        yield Edge(name, node.name, "", "after")
