"""A node's arguments once the outputs that they come from are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ...runtime.bundle import content_hash as code_hash
from .call import Call, Compound, Given, Input, Stored, at_path
from .contents import content_hash
from .encoding import described
from .node import Constant, FromNode, FromParameter, Node, Source


def input_of(
    source: Source, outputs: Mapping[str, str], parameters: Mapping[str, Any], *, alone: Callable[[str], bool]
) -> Input:
    """What a source stands for; `outputs` are refs by node, `alone` says whether nobody else will ask for a node's."""
    if isinstance(source, Constant):
        return Given(source.value)
    if isinstance(source, FromParameter):
        return Given(at_path(parameters[source.name], source.path, source.name))
    if isinstance(source, FromNode):
        return Stored(outputs[source.node], source.path, alone(source.node), source.node)
    parts = tuple(input_of(one, outputs, parameters, alone=alone) for one in source.parts)
    return Compound(source.filled, parts)


class Keys:
    """What stands for a call's code and inputs; the code of a node is hashed once a run."""

    def __init__(self) -> None:
        self._code: dict[str, str] = {}

    def key(self, call: Call) -> str:
        """The hash (hex) of code and inputs; raises `InputError` for an input that cannot be written down."""
        named = [*(("", one) for one in call.args), *call.kwargs]
        inputs = [(name, _hashed(one)) for name, one in named]
        name = call.node.name
        if name not in self._code:
            self._code[name] = _code_of(call.node)
        return hashlib.sha256(json.dumps([self._code[name], inputs]).encode()).hexdigest()


def shown(value: Input, about: Mapping[str, str]) -> str:
    """An argument in words: an output by what it is and the beginning of its hash."""
    if isinstance(value, Given):
        return described(value.value)
    if isinstance(value, Stored):
        path = "".join(f"[{key!r}]" for key in value.path)
        return f"{value.of}{path}: {about.get(value.ref, 'output')} #{value.ref[:8]}"
    return ", ".join(shown(one, about) for one in value.parts)


def _hashed(value: Input) -> Any:
    if isinstance(value, Given):
        return content_hash(value.value)
    if isinstance(value, Stored):
        return [value.ref, list(value.path)]
    return [str(value.fill([None] * len(value.parts))), [_hashed(one) for one in value.parts]]


def _code_of(node: Node) -> str:
    spec = node.spec
    parts = (code_hash(node.function.callable), list(spec.packages), content_hash(dict(spec.init)))
    return json.dumps(parts)
