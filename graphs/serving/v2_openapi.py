"""The routes of the Open Inference Protocol V2 in a graph's description."""

from __future__ import annotations

from typing import Any

from ...functions.http.content_types import BINARY
from ...functions.http.openapi import operation
from .v2_describe import Described, Form
from .v2_tensors import DATATYPES


def inference_paths(described: Described) -> dict[str, Any]:
    """Paths below the graph's name, with an example of a request."""
    model = f"/v2/models/{described.name}"
    example = {"inputs": [_example(name, form) for name, form in described.inputs.items()]}
    request = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": _tensor(), "minItems": 1},
            "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        },
        "required": ["inputs"],
        **({"default": example} if described.inputs else {}),
    }
    answer = {
        "type": "object",
        "properties": {
            "model_name": {"const": described.name},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": _tensor()},
        },
    }
    return {
        f"{model}/infer": {"post": operation("Answer rows given as tensors", request, answer, others=(BINARY,))},
        model: {"get": _get("The tensors it takes and answers")},
        f"{model}/ready": {"get": _get("The graph takes requests")},
        "/v2": {"get": _get("Server of the Open Inference Protocol")},
        "/v2/health/live": {"get": _get("The server is alive")},
        "/v2/health/ready": {"get": _get("The server takes requests")},
    }


def _tensor() -> dict[str, Any]:
    properties = {
        "name": {"type": "string"},
        "datatype": {"enum": list(DATATYPES)},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {}},
        "parameters": {"type": "object"},
    }
    return {"type": "object", "properties": properties, "required": ["name", "datatype", "shape"]}


def _example(name: str, form: Form) -> dict[str, Any]:
    datatype, shape = form
    size = [1, *(max(1, axis) for axis in shape[1:])]
    data: Any = {"BYTES": "text", "BOOL": True}.get(datatype, 0.5 if datatype.startswith("F") else 1)
    for axis in reversed(size):
        data = [data] * axis
    return {"name": name, "datatype": datatype, "shape": size, "data": data}


def _get(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "yes"}}}
