"""What a graph's endpoint says about itself: an OpenAPI document and a page that shows it without any script."""

from __future__ import annotations

import html
from typing import Any

from .flow import Flow
from .problem import CONTENT_TYPE

_JSON = "application/json"


def document(flow: Flow, *, request_types: dict[str, str] | None = None) -> dict[str, Any]:
    """The endpoint as OpenAPI 3.1; `request_types` are the fields a request needs, with their types."""
    fields = {name: {"type": _TYPES.get(dtype, "string")} for name, dtype in (request_types or {}).items()}
    event: dict[str, Any] = {
        "type": "object",
        "properties": {"id": {"type": "string"}, **fields},
        "required": [*fields],
    }
    answer = {"type": "object", "properties": {"id": {"type": "string"}, "score": {"type": ["number", "null"]}}}
    explanation = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "score": {"type": "number"},
            "base_value": {"type": "number"},
            "contributions": {"type": "object", "properties": {n: {"type": "number"} for n in flow.feature_names}},
        },
    }
    paths: dict[str, Any] = {
        f"/{flow.name}": {"post": _operation("Answer one event, or a list of them", event, answer)},
        f"/{flow.name}/health": {
            "get": {"summary": "The process is alive", "responses": {"200": {"description": "yes"}}}
        },
        f"/{flow.name}/ready": {"get": {"summary": "Requests are taken", "responses": {"200": {"description": "yes"}}}},
    }
    if flow.model is not None:
        summary = "Each feature's contribution to the score, in margin units"
        paths[f"/{flow.name}/explain"] = {"post": _operation(summary, event, explanation)}
    return {"openapi": "3.1.0", "info": {"title": flow.name, "version": "1"}, "paths": paths}


def page(spec: dict[str, Any]) -> bytes:
    """The document as a plain HTML page."""
    title = html.escape(spec["info"]["title"])
    rows = "".join(
        f"<tr><td><code>{verb.upper()} {html.escape(path)}</code></td><td>{html.escape(entry['summary'])}</td></tr>"
        for path, verbs in spec["paths"].items()
        for verb, entry in verbs.items()
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><table>{rows}</table>"
        f'<p><a href="openapi.json">openapi.json</a>'
    ).encode()


_TYPES = {"float64": "number", "int64": "integer", "bool": "boolean"}


def _operation(summary: str, event: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    problem = {"description": "What is wrong with the request", "content": {CONTENT_TYPE.decode(): {"schema": {}}}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {_JSON: {"schema": _one_or_many(event)}}},
        "responses": {
            "200": {"description": "The answer", "content": {_JSON: {"schema": _one_or_many(answer)}}},
            **dict.fromkeys(("400", "413", "422"), problem),
        },
    }


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}
