"""A module of the user's own, by file or by name, as a command line names it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from .errors import InputError, NotFoundError, did_you_mean


def module_at(place: str) -> ModuleType:
    """The module of "train.py" or "package.module"; raises `InputError`, `NotFoundError`.

    As for a script, modules beside the file can be imported.
    """
    return _file(Path(place)) if place.endswith(".py") else _module(place)


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


def _is_from(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()
