"""`FILE:FN` or `MODULE:FN`: the function that a command line names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..runtime.errors import InputError, NotFoundError, did_you_mean
from ..runtime.settings import Settings
from .function import Function, function

if TYPE_CHECKING:
    from .deployed import Deployed


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


def functions_of(target: str) -> list[Function[..., Any]]:
    """The function of "FILE:FN", or every decorated function that "FILE.py" defines; raises `InputError` for none."""
    if not target.endswith(".py"):
        return [load(target)]
    module = _file(Path(target))
    found = [value for value in vars(module).values() if isinstance(value, Function) and _is_own(value, module)]
    if not found:
        raise InputError(f"{target} has no function decorated with @function: decorate one, or name one: {target}:FN")
    return found


def _named(target: str) -> Any:
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise InputError(f"{target!r} names no function: write FILE:FN, for instance train.py:fit")
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    found = getattr(module, name, None)
    if found is None:
        known = [key for key, value in vars(module).items() if _is_own(value, module) or _is_deployable(value)]
        raise NotFoundError(f"{place} has no function {name!r}{did_you_mean(name, known)}")
    return found


def _as_function(found: Any, target: str) -> Function[..., Any]:
    if isinstance(found, Function):
        return found
    if not callable(found):
        raise InputError(f"{target} is a {type(found).__name__}: name a function or a class")
    made: Function[..., Any] = function(found)
    return made


def _is_deployable(value: object) -> bool:
    return isinstance(value, Deployable) and not isinstance(value, type)


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        beside = [one.name for one in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise NotFoundError(f"no file {path}{did_you_mean(path.name, beside)}")
    name = path.stem
    if name in sys.stdlib_module_names or (name in sys.modules and not _is_from(sys.modules[name], path)):
        name = f"{name}_file"  # a module of that name is another's
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _module(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another
        raise NotFoundError(
            f"no module {name!r}: write FILE:FN with the file's .py, or run where it can be found"
        ) from None


def _is_own(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _is_from(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()
