"""Whether what one step gives is what the next one takes, as far as their hints tell."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from ...functions.calls.frames import FRAMES, kind_of
from ...runtime.errors import DefinitionError
from .event import Event
from .step import Step

_PASSES_ON = ("check", "tap", "filter", "enrich", "predict", "explain", "queue")
_WIDER: Mapping[type, tuple[type, ...]] = {int: (float, complex), float: (complex,), bool: (int, float)}
_UNKNOWN: Any = object()


def check_types(graph: str, before: Sequence[Step], step: Step) -> None:
    """Raises `DefinitionError` where a function's hint contradicts that of the function before it."""
    wanted = _takes(step)
    if wanted is _UNKNOWN:
        return
    giver = _giver(before, step.options.input)
    given = _gives(giver) if giver is not None else _UNKNOWN
    if giver is None or given is _UNKNOWN:
        return
    problem = _misfit(given, wanted)
    if problem:
        raise DefinitionError(f"{graph}: {step.name!r} does not fit {giver.name!r} before it: {problem}")


def _giver(before: Sequence[Step], path: str) -> Step | None:
    """The step whose result is what the next one reads; None where that is not known."""
    for step in reversed(before):
        if step.kind in _PASSES_ON:
            continue
        if step.kind != "call":
            return None
        if step.options.result == path:
            return step
        if not step.options.result:
            return None  # it made the whole body, of which a part is read
    return None


def _takes(step: Step) -> Any:
    if step.kind not in ("call", "check", "filter", "tap"):
        return _UNKNOWN
    function = _function(step.subject)
    hints = _hints(function)
    try:
        names = [name for name in inspect.signature(function).parameters if name != "self"]
    except (TypeError, ValueError):
        return _UNKNOWN
    hint = hints.get(names[0], _UNKNOWN) if names else _UNKNOWN
    return _UNKNOWN if hint is Event else hint


def _gives(step: Step) -> Any:
    hint = _hints(_function(step.subject)).get("return", _UNKNOWN)
    return _UNKNOWN if hint is type(None) else hint


def _function(subject: Any) -> Callable[..., Any]:
    found = subject.__call__ if isinstance(subject, type) else subject
    return getattr(found, "called", found)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except Exception:  # noqa: BLE001 - hints may name anything; those that cannot be read say nothing
        return {}


def _misfit(given: Any, wanted: Any) -> str:
    """Why a value of the one type is none of the other; empty where it may be one."""
    if _may_be_anything(given) or _may_be_anything(wanted):
        return ""
    if get_origin(given) in (Union, types.UnionType):
        parts = [part for part in get_args(given) if part is not type(None)]
        return "" if any(not _misfit(part, wanted) for part in parts) else _differ(given, wanted)
    if get_origin(wanted) in (Union, types.UnionType):
        return "" if any(not _misfit(given, part) for part in get_args(wanted)) else _differ(given, wanted)
    if is_typeddict(given) and is_typeddict(wanted):
        lacking = sorted(wanted.__required_keys__ - given.__annotations__.keys())
        return f"{_name(given)} lacks {', '.join(map(repr, lacking))} of {_name(wanted)}" if lacking else ""
    one, other = _class(given), _class(wanted)
    if one is None or other is None or issubclass(one, other) or other in _WIDER.get(one, ()):
        return ""
    return _differ(given, wanted)


def _may_be_anything(hint: Any) -> bool:
    # A table is how the bodies of many events are handed to a function.
    return hint is Any or hint is object or isinstance(hint, typing.TypeVar | str) or kind_of(hint) in FRAMES


def _class(hint: Any) -> type | None:
    if is_typeddict(hint):
        return dict
    found = get_origin(hint) or hint
    return found if isinstance(found, type) else None


def _differ(given: Any, wanted: Any) -> str:
    return f"it gives {_name(given)}, but {_name(wanted)} is taken"


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
