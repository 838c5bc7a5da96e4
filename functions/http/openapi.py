"""A service's description: the parts of an OpenAPI document, and a page on which it can be tried."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .problem import CONTENT_TYPE

JSON = "application/json"
_YES = {"200": {"description": "yes"}}


def document(name: str, paths: Mapping[str, Any], *, description: str = "", version: str = "") -> dict[str, Any]:
    """OpenAPI 3.1 of a service with these paths below its name, and those that every service has."""
    common = {
        "/health": {"get": {"summary": "The process is alive", "responses": _YES}},
        "/ready": {"get": {"summary": "Requests are taken", "responses": _YES}},
    }
    info = {"title": name, "version": version or "1", **({"description": description} if description else {})}
    schemas: dict[str, Any] = {}
    placed = {f"/{name}{path}": _lifted(entry, schemas) for path, entry in {**paths, **common}.items()}
    return {"openapi": "3.1.0", "info": info, "paths": placed, "components": {"schemas": schemas}}


def operation(
    summary: str, request: Mapping[str, Any], answer: Mapping[str, Any], *, others: Sequence[bytes] = ()
) -> dict[str, Any]:
    """A POST that takes JSON of one schema and answers with another's; `others` are content types it knows besides."""
    also = {kind.decode(): {"schema": {"type": "string", "format": "binary"}} for kind in others}
    problem = {"description": "What is wrong with the request", "content": {CONTENT_TYPE.decode(): {"schema": {}}}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON: {"schema": request}} | also},
        "responses": {
            "200": {"description": "The answer", "content": {JSON: {"schema": answer}} | also},
            **dict.fromkeys(("400", "401", "413", "422", "503"), problem),
        },
    }


def page(spec: Mapping[str, Any]) -> bytes:
    """The document as a page that needs no other: what there is, and a form that sends a request."""
    info = spec["info"]
    rows = "".join(
        f"<tr><td><code>{verb.upper()} {html.escape(path)}</code></td><td>{html.escape(entry['summary'])}</td></tr>"
        for path, verbs in spec["paths"].items()
        for verb, entry in verbs.items()
    )
    posts = {path: _example_of(verbs["post"], spec) for path, verbs in spec["paths"].items() if "post" in verbs}
    options = "".join(f"<option>{html.escape(path)}</option>" for path in posts)
    first = html.escape(next(iter(posts.values()), "{}"))
    about = f"<p>{html.escape(info['description'])}</p>" if "description" in info else ""
    # Inside a script only "</" could end it early.
    examples = json.dumps(posts).replace("</", "<\\/")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(info['title'])}</title>"
        f"<style>{_STYLE}</style><main><h1>{html.escape(info['title'])}</h1>{about}<table>{rows}</table>"
        f"<h2>Try it</h2><form id=f><select id=p aria-label=path>{options}</select> <input id=k type=password "
        f"placeholder='API key, if it asks for one' autocomplete=off> <button>Send</button>"
        f"<textarea id=b rows=8 aria-label='request body' spellcheck=false>{first}</textarea></form>"
        f"<pre id=a aria-live=polite></pre><p><a href=openapi.json>openapi.json</a></main>"
        f"<script>const examples={examples};{_SCRIPT}</script></html>"
    ).encode()


def _lifted(entry: Any, schemas: dict[str, Any]) -> Any:
    """The entry with its schemas' own definitions moved to the document's, where references look for them."""
    if isinstance(entry, Mapping):
        for name, schema in entry.get("$defs", {}).items():
            schemas[name] = _lifted(schema, schemas)
        return {name: _lifted(value, schemas) for name, value in entry.items() if name != "$defs"}
    return [_lifted(one, schemas) for one in entry] if isinstance(entry, list) else entry


def _example_of(entry: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    schema = entry["requestBody"]["content"][JSON]["schema"]
    return json.dumps(_example(schema, spec["components"]["schemas"]), indent=2)


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """A value of that schema, as small as can be."""
    if depth > 6:
        return None
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth + 1)
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("oneOf", "anyOf", "allOf"):
        if schema.get(key):
            return _example(schema[key][0], schemas, depth + 1)
    kind = schema.get("type")
    if kind == "object":
        required = set(schema.get("required", ()))
        fields = {name: one for name, one in schema.get("properties", {}).items() if name in required}
        return {name: _example(one, schemas, depth + 1) for name, one in fields.items()}
    if kind == "array":
        return [_example(schema.get("items") or {}, schemas, depth + 1)]
    return {"string": "text", "number": 0.5, "integer": 1, "boolean": True}.get(str(kind))


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1a1d21;background:#fafafa}"
    "main{max-width:52rem;margin:2rem auto;padding:0 1rem}h1{margin-bottom:.2rem}"
    "table{border-collapse:collapse;width:100%}td{padding:.35rem .6rem .35rem 0;border-bottom:1px solid #e3e5e8}"
    "textarea{width:100%;box-sizing:border-box;margin-top:.6rem;font:14px/1.4 ui-monospace,monospace;padding:.6rem}"
    "select,input,button{font:inherit;padding:.3rem .6rem}"
    "button{background:#1f6feb;color:#fff;border:0;border-radius:4px;cursor:pointer}"
    "pre{background:#fff;border:1px solid #e3e5e8;padding:.8rem;min-height:2rem;overflow:auto;white-space:pre-wrap}"
)
_SCRIPT = (
    "const $=i=>document.getElementById(i);$('p').onchange=()=>{$('b').value=examples[$('p').value]};"
    "$('f').onsubmit=async e=>{e.preventDefault();const h={'content-type':'application/json'};"
    "if($('k').value)h.authorization='Bearer '+$('k').value;$('a').textContent='...';const t=performance.now();"
    "try{const r=await fetch($('p').value,{method:'POST',headers:h,body:$('b').value});let x=await r.text();"
    "try{x=JSON.stringify(JSON.parse(x),null,2)}catch{}"
    "$('a').textContent=r.status+'  '+(performance.now()-t).toFixed(0)+' ms\\n'+x}"
    "catch(x){$('a').textContent=String(x)}}"
)
