"""How a function shows itself in a notebook: what it takes, what it needs, what can be done with it."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable
from typing import Any

from .spec import FunctionSpec


def card(fn: Callable[..., Any], spec: FunctionSpec, doc: str | None) -> str:
    """A small table as HTML."""
    rows = [("signature", f"{spec.name}{inspect.signature(fn)}")]
    if doc:
        rows.append(("", inspect.cleandoc(doc).partition("\n\n")[0]))
    rows += [("needs", _needs(spec)), ("retries", _retries(spec))]
    if spec.timeout_s is not None:
        rows.append(("time limit", f"{spec.timeout_s:g} s"))
    if spec.packages:
        rows.append(("packages", ", ".join(spec.packages)))
    if spec.scale is not None:
        rows.append(("deployed", f"{spec.scale.min} to {spec.scale.max} replicas, {spec.scale.target:g} requests each"))
    cells = "".join(f"<tr><th style='text-align:left'>{html.escape(a)}</th><td style='text-align:left'>"
                    f"{html.escape(b)}</td></tr>" for a, b in rows)  # fmt: skip
    return f"<table><caption style='text-align:left'><b>{html.escape(spec.name)}</b></caption>{cells}</table>"


def _needs(spec: FunctionSpec) -> str:
    needs = spec.resources
    parts = [f"{needs.cpus:g} CPU"]
    if needs.gpu:
        parts.append(f"{needs.gpu:g} GPU")
    if needs.memory_bytes:
        parts.append(f"{needs.memory_bytes / 2**30:.3g} GiB")
    return ", ".join([*parts, *(f"{amount:g} {name}" for name, amount in needs.custom.items())])


def _retries(spec: FunctionSpec) -> str:
    named = ", ".join(one.__name__ for one in spec.retries.on)
    return f"{spec.retries.attempts} of lost workers{f' and of {named}' if named else ''}"
