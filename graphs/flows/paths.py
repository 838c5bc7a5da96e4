"""Places in a body: "user.address.city" is a field of a field of a field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...runtime.errors import DefinitionError, InputError, did_you_mean


def check_path(path: str) -> tuple[str, ...]:
    """The names on the way; raises `DefinitionError`."""
    names = tuple(path.split("."))
    if not all(names):
        raise DefinitionError(f"{path!r} is no place in a body: write names with dots between, like 'user.city'")
    return names


def get(body: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What stands there; raises `InputError` naming what is missing."""
    found: Any = body
    for place, name in enumerate(path):
        if not isinstance(found, Mapping) or name not in found:
            where = ".".join(path[: place + 1])
            known = did_you_mean(name, map(str, found)) if isinstance(found, Mapping) else ""
            raise InputError(f"the request lacks {where!r}{known}")
        found = found[name]
    return found


def put(body: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A body with the value there; dicts on the way are copied, for others may hold them."""
    made = dict(body)
    inner = made
    for name in path[:-1]:
        old = inner.get(name)
        inner[name] = dict(old) if isinstance(old, dict) else {}
        inner = inner[name]
    inner[path[-1]] = value
    return made
