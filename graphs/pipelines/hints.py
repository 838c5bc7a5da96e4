"""Whether a value of one hinted type can be what another hint asks for; unsure means yes."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from ...runtime.errors import DefinitionError, did_you_mean

# What Python itself takes in the place of the other (PEP 484).
_NUMBERS = {float: (int,), complex: (int, float)}
_LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)


def hints_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The hints of a function by name; none where they cannot be read."""
    called: Any = getattr(fn, "called", fn)  # of a class with state, its method
    try:
        return get_type_hints(inspect.unwrap(called))
    except (NameError, TypeError, AttributeError):  # a name under TYPE_CHECKING, for instance
        return {}


def fits(given: Any, wanted: Any) -> bool:
    """False only where no value of type `given` is what `wanted` asks for."""
    given, wanted = _plain(given), _plain(wanted)
    if given is Any or wanted is Any:
        return True
    if _is_union(given):
        return any(fits(one, wanted) for one in get_args(given))
    if _is_union(wanted):
        return any(fits(given, one) for one in get_args(wanted))
    if get_origin(given) is Literal:
        return any(fits(type(one), wanted) for one in get_args(given))
    if get_origin(wanted) is Literal:
        return any(fits(given, type(one)) for one in get_args(wanted))
    outer, asked = _class_of(given), _class_of(wanted)
    if outer is None or asked is None:
        return True
    if not _related(outer, asked):
        return False
    inner, want = get_args(given), get_args(wanted)
    if not inner or not want or not _alike(outer, asked):
        return True
    if outer is tuple and len(inner) == 2 and inner[1] is ...:
        inner = inner[:1]
    if asked is tuple and len(want) == 2 and want[1] is ...:
        want = want[:1]
    if len(want) == 1:
        return all(fits(one, want[0]) for one in inner)
    if len(inner) == 1:
        return all(fits(inner[0], one) for one in want)
    return len(inner) == len(want) and all(fits(one, other) for one, other in zip(inner, want, strict=True))


def hint_at(hint: Any, key: str | int, label: str) -> Any:
    """The hint of what is at `key` in a value of this hint; raises `DefinitionError` where nothing can be."""
    plain = _plain(hint)
    if _is_union(plain) or plain is Any:
        return Any
    origin, inner = get_origin(plain) or plain, get_args(plain)
    if is_typeddict(plain):
        fields = get_type_hints(plain)
        if key not in fields:
            raise DefinitionError(f"{label} has no {key!r}{did_you_mean(str(key), fields)}")
        return fields[str(key)]
    if origin in (bool, int, float, complex, type(None)) or dataclasses.is_dataclass(plain):
        raise DefinitionError(f"{label} is a {named(plain)}: it has no [{key!r}]; take it apart in a step")
    if isinstance(origin, type) and issubclass(origin, list | tuple | str) and isinstance(key, str):
        raise DefinitionError(f"{label} is a {named(plain)}: its items have places, not names like {key!r}")
    if origin is tuple and inner and inner[-1] is not ...:
        if not -len(inner) <= int(key) < len(inner):
            raise DefinitionError(f"{label} has {len(inner)} items: there is none at {key}")
        return inner[int(key)]
    if isinstance(origin, type) and inner:
        if issubclass(origin, Mapping) and len(inner) == 2:
            return inner[1]
        if issubclass(origin, list | tuple) or origin in _LISTS:
            return inner[0]
    return Any


def item_of(hint: Any, label: str) -> Any:
    """The hint of a list's items; raises `DefinitionError` for a type that is no list."""
    plain = _plain(hint)
    if plain is Any or _is_union(plain):
        return Any
    origin, inner = get_origin(plain) or plain, get_args(plain)
    if not isinstance(origin, type):
        return Any
    if issubclass(origin, str | bytes | Mapping | int | float | set | frozenset) or is_typeddict(plain):
        raise DefinitionError(f"{label} is a {named(plain)}: over= takes a list")
    if origin is tuple and len(inner) > 1 and inner[1] is not ...:
        return Union[inner]  # noqa: UP007 - made of a tuple
    return inner[0] if inner and (issubclass(origin, list | tuple) or origin in _LISTS) else Any


def named(hint: Any) -> str:
    """The hint as it is written."""
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def _plain(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    hint = getattr(hint, "__supertype__", hint)  # NewType
    if hint is None:
        return type(None)
    return Any if hint is object or isinstance(hint, TypeVar | str) else hint


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _class_of(hint: Any) -> type | None:
    origin = get_origin(hint) or hint
    if is_typeddict(origin):
        return dict
    if not isinstance(origin, type) or getattr(origin, "_is_protocol", False):
        return None
    return origin


def _related(given: type, wanted: type) -> bool:
    """A class below or above the other: what is declared as a base may well be what is asked for."""
    try:
        return issubclass(given, wanted) or issubclass(wanted, given) or given in _NUMBERS.get(wanted, ())
    except TypeError:  # a class that refuses to tell
        return True


def _alike(given: type, wanted: type) -> bool:
    """Whether their inner types mean the same: those of two lists, of two mappings."""
    lists = (collections.abc.Iterable, list, tuple)
    for kinds in ((collections.abc.Mapping,), lists):
        if issubclass(given, kinds) and issubclass(wanted, kinds):
            return issubclass(given, collections.abc.Mapping) == issubclass(wanted, collections.abc.Mapping)
    return False
