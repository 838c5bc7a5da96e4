"""`FILE:FN` or `MODULE:FN`: the function that a command line names."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..runtime.errors import InputError, NotFoundError, did_you_mean
from ..runtime.settings import Settings
from ..runtime.user_module import module_at
from .function import Function, function

if TYPE_CHECKING:
    from .http.http_app import HttpApp, HttpOptions
    from .rollouts.deployed import Deployed


@runtime_checkable
class Servable(Protocol):
    """What makes an HTTP application of itself in this process, under its name: a serving graph."""

    @property
    def name(self) -> str: ...

    def http_app(self, http: HttpOptions) -> HttpApp: ...


@runtime_checkable
class Composed(Protocol):
    """What is no function and can be called as one: a pipeline."""

    def as_function(self) -> Function[..., Any]: ...


@runtime_checkable
class Deployable(Protocol):
    """What has a `deploy` of its own: a function, a serving graph."""

    def deploy(self, *, settings: Settings | None = None) -> Deployed: ...


def load(target: str) -> Function[..., Any]:
    """The function of "train.py:fit" or "package.module:fit"; raises `InputError`, `NotFoundError`.

    As for a script, modules beside the file can be imported. What is not decorated is taken as `@function` would.
    """
    return _as_function(_named(target), target)


def load_deployable(target: str) -> Deployable:
    """As `load`; what is no function and can be deployed all the same, like a graph, is given as it is."""
    found = _named(target)
    return found if _is_deployable(found) else _as_function(found, target)


def servables_of(target: str) -> list[Function[..., Any] | Servable]:
    """The function or graph of "FILE:FN", or every graph and every decorated function that "FILE.py" defines; raises
    `InputError` for none."""
    if not target.endswith(".py"):
        named = _named(target)
        return [named if _is_servable(named) else _as_function(named, target)]
    module = module_at(target)
    found = [
        value
        for value in vars(module).values()
        if (isinstance(value, Function) and _is_own(value, module)) or _is_servable(value)
    ]
    if not found:
        raise InputError(
            f"{target} has no graph, and no function decorated with @function: decorate one, or name one: {target}:FN"
        )
    return found


def _named(target: str) -> Any:
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise InputError(f"{target!r} names no function: write FILE:FN, for instance train.py:fit")
    module = module_at(place)
    found = getattr(module, name, None)
    if found is None:
        known = [key for key, value in vars(module).items() if _is_own(value, module) or _is_deployable(value)]
        raise NotFoundError(f"{place} has no function or graph {name!r}{did_you_mean(name, known)}")
    return found


def _as_function(found: Any, target: str) -> Function[..., Any]:
    if isinstance(found, Function):
        return found
    if isinstance(found, Composed) and not isinstance(found, type):
        return found.as_function()
    if not callable(found):
        raise InputError(f"{target} is a {type(found).__name__}: name a function or a class")
    made: Function[..., Any] = function(found)
    return made


def _is_deployable(value: object) -> bool:
    return isinstance(value, Deployable) and not isinstance(value, type)


def _is_servable(value: object) -> bool:
    return isinstance(value, Servable) and not isinstance(value, type)


def _is_own(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__
