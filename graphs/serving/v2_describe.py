"""What a graph takes and answers as tensors: the metadata of the Open Inference Protocol V2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..flows.fields import answered
from ..flows.flow import Flow
from .v2_tensors import STORED, Tensor, Values

Form = tuple[str, list[int]]
"""Datatype and shape."""
PLATFORM = "eagleray_graph"
# Types of fields as feature stores have them; times come as ISO text.
_DATATYPES = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "int32": "INT32",
    "bool": "BOOL",
    "string": "BYTES",
    "timestamp": "BYTES",
}


@dataclass(frozen=True, slots=True)
class Described:
    """What is told about a graph: the fields it takes and those that it answers, as (datatype, shape).

    `features` are those that it also takes as one tensor. Fields of the answers whose type nobody declared are added
    once they were answered.
    """

    name: str
    version: str = ""
    inputs: Mapping[str, Form] = field(default_factory=dict)
    outputs: dict[str, Form] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    predicts_first: bool = False

    def learn(self, tensors: list[Tensor]) -> None:
        """Takes note of outputs that are new, or other than was thought."""
        for tensor in tensors:
            form = (tensor.datatype, [-1, *tensor.shape[1:]])
            if self.outputs.get(tensor.name) != form:
                self.outputs[tensor.name] = form

    def nothing(self, names: Sequence[str] = ()) -> list[Tensor]:
        """The outputs, or those of these names, with no row."""
        made = []
        for name in names or self.outputs:
            datatype, shape = self.outputs.get(name, ("BYTES", [-1]))
            stored: Values = [] if datatype == "BYTES" else np.empty(0, STORED[datatype])
            made.append(Tensor(name, datatype, (0, *(max(size, 0) for size in shape[1:])), stored))
        return made

    def as_dict(self) -> dict[str, Any]:
        """The metadata of the model."""
        return {
            "name": self.name,
            "versions": [self.version] if self.version else [],
            "platform": PLATFORM,
            "inputs": _listed(self.inputs),
            "outputs": _listed(self.outputs),
        }


def described(flow: Flow, asked: Mapping[str, str], *, version: str = "") -> Described:
    """The graph, with the fields that are `asked` of a request; those of unknown types are not told."""
    inputs = {name: typed(dtype) for name, dtype in asked.items()}
    known: dict[str, Form] = {
        "score": ("FP64", [-1]),
        "contributions": ("FP64", [-1, len(flow.feature_names)]),
        "base_value": ("FP64", [-1]),
    }
    fields = {name: known.get(name) or inputs.get(name) for name in answered(flow.steps)}
    outputs: dict[str, Form] = {"id": ("BYTES", [-1])}
    outputs |= {name: form for name, form in fields.items() if form is not None}
    takes_rows = tuple(asked) == flow.feature_names and set(asked.values()) == {"float64"}
    return Described(
        flow.name,
        version,
        inputs,
        outputs,
        features=flow.feature_names if takes_rows else (),
        predicts_first=bool(flow.steps) and flow.steps[0].kind == "predict",
    )


def typed(dtype: str) -> Form:
    """Datatype and shape of a field that holds such a value an event: "float64", "list[int64]", "vector[3]"."""
    if dtype.startswith("vector["):
        return "FP32", [-1, int(dtype[7:-1])]
    if dtype.startswith("list["):
        return _DATATYPES[dtype[5:-1]], [-1, -1]
    return _DATATYPES[dtype], [-1]


def _listed(fields: Mapping[str, Form]) -> list[dict[str, Any]]:
    return [{"name": name, "datatype": datatype, "shape": shape} for name, (datatype, shape) in fields.items()]
