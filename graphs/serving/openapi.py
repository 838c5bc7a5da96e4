"""What a graph's endpoint takes and answers, for its description."""

from __future__ import annotations

from typing import Any

from ...functions.http.content_types import ARROW
from ...functions.http.openapi import document, operation
from ..flows.flow import Flow
from .v2_describe import Described
from .v2_openapi import inference_paths

_TYPES = {"float64": "number", "float32": "number", "int64": "integer", "int32": "integer", "bool": "boolean"}
_REASON = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "text": {"type": "string"}, "contribution": {"type": "number"}},
}


def graph_document(
    flow: Flow, described: Described, *, request_types: dict[str, str] | None = None, version: str = ""
) -> dict[str, Any]:
    """The endpoint as OpenAPI 3.1; `request_types` are the fields a request needs, with their types."""
    fields = {name: _schema(dtype) for name, dtype in (request_types or {}).items()}
    event: dict[str, Any] = {
        "type": "object",
        "properties": {"id": {"type": "string"}, **fields},
        "required": [*fields],
    }
    score = {"type": ["number", "array", "null"], "items": {"type": "number"}}
    answer = {"type": "object", "properties": {"id": {"type": "string"}, "score": score}}
    paths: dict[str, Any] = {"": {"post": _events("Answer one event, or a list of them", event, answer)}}
    if flow.model is not None:
        explanation = {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "score": {"type": "number"},
                "base_value": {"type": "number"},
                "contributions": {
                    "type": "object",
                    "properties": {name: {"type": "number"} for name in flow.feature_names},
                },
                "reasons": {"type": "array", "items": _REASON},
                "reasons_version": {"type": "string"},
            },
        }
        summary = "Each feature's contribution to the score, in margin units"
        paths["/explain"] = {"post": _events(summary, event, explanation)}
    return document(flow.name, paths | inference_paths(described), version=version)


def _schema(dtype: str) -> dict[str, Any]:
    if dtype.startswith("vector["):
        return {"type": "array", "items": {"type": "number"}}
    if dtype.startswith("list["):
        return {"type": "array", "items": _schema(dtype[5:-1])}
    return {"type": _TYPES.get(dtype, "string")}


def _events(summary: str, event: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return operation(summary, _one_or_many(event), _one_or_many(answer), others=(ARROW,))


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}
