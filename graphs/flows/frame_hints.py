"""Which functions take a table: told by the hint of their first parameter."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

from ...functions.calls.frames import kind_of
from ...runtime.errors import DefinitionError
from .step import Step
from .subjects import is_async

FRAMES = ("polars.DataFrame", "pandas.DataFrame", "pyarrow.Table")
_SHORT = {"pl": "polars", "pd": "pandas", "pa": "pyarrow"}


def frame_kind(subject: Any) -> str | None:
    """Like "polars.DataFrame" for a function (or class) whose first parameter is hinted as a table, else None."""
    called = subject.__call__ if isinstance(subject, type) or not hasattr(subject, "__code__") else subject
    try:
        first = next((one for one in inspect.signature(called).parameters.values() if one.name != "self"), None)
    except (TypeError, ValueError):
        return None
    if first is None or first.annotation is inspect.Parameter.empty:
        return None
    hint = first.annotation
    if isinstance(hint, str):
        try:
            hint = get_type_hints(called)[first.name]
        except Exception:  # noqa: BLE001 - the name may be imported for type checkers only; its text says enough
            library, _, name = str(hint).rpartition(".")
            told = f"{_SHORT.get(library, library)}.{name}"
            return told if told in FRAMES else None
    kind = kind_of(hint)
    return kind if kind in FRAMES else None


def check_framed(graph: str, step: Step) -> None:
    """Whether a function of tables stands where it can be one; raises `DefinitionError`."""
    if not callable(step.subject) or frame_kind(step.subject) is None:
        return
    options = step.options
    if step.kind != "call" or options.input or options.result or options.cache is not None:
        raise DefinitionError(f"{graph}: {step.name!r} takes a table of whole bodies: add it with to(), without places")
    if is_async(step.subject):
        raise DefinitionError(f"{graph}: {step.name!r} takes a table, so it is no async function")
