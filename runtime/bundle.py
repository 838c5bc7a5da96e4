"""A function's code as one hash: the same code gives the same hash in every process, other code another.

Hashed are the function's bytecode, defaults and captured values, whatever of the user's own code it refers to
(functions, classes, constants, followed through), and whole files for modules it uses by name. An installed
package counts by its name only. The hash holds for one Python version: another has other bytecode.
"""

from __future__ import annotations

import ast
import builtins
import dis
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_OWN = __name__.partition(".")[0]
_ABSENT = object()
# Python 3.11 counts the depth of a tree over all threads, so two that parse at once make each other fail.
_PARSING = threading.Lock()
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
# Attributes of a class that Python makes, or that name the place rather than the content.
_CLASS_NOISE = {
    "__dict__",
    "__weakref__",
    "__module__",
    "__slotnames__",
    "__firstlineno__",
    "__static_attributes__",
    "__annotate__",
}


def content_hash(fn: Callable[..., Any]) -> str:
    """The sha256 (hex) of the function's code and of the user's own code it needs."""
    return _Walk.over(fn).digest()


@dataclass(frozen=True, slots=True)
class Code:
    """The code that a function needs as it was at one moment: its local modules, and what each name stood for."""

    modules: tuple[str, ...]
    names: tuple[tuple[Mapping[str, Any], str, object], ...]

    def is_current(self) -> bool:
        """False once a name was bound anew (a cell run again, a module loaded again); a microsecond, not a walk."""
        return all(space.get(name, _ABSENT) is value for space, name, value in self.names)


def code_of(fn: Callable[..., Any]) -> Code:
    """What `fn` needs, as it is now."""
    walk = _Walk.over(fn)
    return Code(tuple(sorted(walk.modules)), tuple(walk.names))


def local_modules(fn: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the modules that `fn` needs and that are nobody's installed package, sorted; without `__main__`."""
    return tuple(sorted(_Walk.over(fn).modules))


def is_local(module: str) -> bool:
    """True for a module of the user's own: no standard library, no installed package, not eagleray."""
    return module == "__main__" or _file_of(module) is not None


@cache
def _installed_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({str(Path(paths[key]).resolve()) for key in ("stdlib", "platstdlib", "purelib", "platlib")})


def _file_of(name: str) -> Path | None:
    """The source file of a local module; None for an installed, built-in or unknown one."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == _OWN:
        return None
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, AttributeError, ValueError):
            return None
        file = found.origin if found is not None and found.has_location else None
    if file is None or not file.endswith(".py"):
        return None
    path = Path(file).resolve()
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return None if installed or str(path).startswith(_installed_roots()) else path


def _imports_of(path: Path, module: str) -> Iterator[str]:
    """Dotted names that a source file imports anywhere in it."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    with _PARSING:
        parsed = ast.parse(path.read_bytes())
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


class _Walk:
    """One pass over everything a function refers to, in an order that depends on the code alone."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []  # an id is only unique while its object lives
        self._files: dict[str, Path] = {}
        self.modules: set[str] = set()
        self.names: list[tuple[Mapping[str, Any], str, object]] = []

    @classmethod
    def over(cls, fn: Callable[..., Any]) -> _Walk:
        walk = cls()
        walk._value(inspect.unwrap(fn))
        return walk

    def digest(self) -> str:
        whole = self._hash.copy()
        for name, path in sorted(self._files.items()):
            whole.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
        return whole.hexdigest()

    def _feed(self, tag: str, content: bytes | str = b"") -> None:
        raw = content.encode() if isinstance(content, str) else content
        self._hash.update(f"{tag}:{len(raw)}:".encode())
        self._hash.update(raw)

    def _value(self, value: Any) -> None:
        if isinstance(value, _PLAIN):
            self._feed(type(value).__name__, repr(value))
        elif isinstance(value, CodeType):
            self._code(value)
        elif isinstance(value, tuple):
            self._items("tuple", value)
        elif isinstance(value, set | frozenset):
            self._feed("set", b"".join(sorted(self._apart(item) for item in value)))
        elif id(value) in self._seen:
            self._feed("again", str(self._seen[id(value)]))
        else:
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)
            self._compound(value)

    def _compound(self, value: Any) -> None:
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, ModuleType):
            self._module(value.__name__)
        elif isinstance(value, list):
            self._items("list", value)
        elif isinstance(value, dict):
            self._items("dict", [part for pair in value.items() for part in pair])
        elif isinstance(value, BuiltinFunctionType | MethodType):
            self._feed("method", value.__qualname__)
            self._value(value.__self__)
        elif isinstance(value, staticmethod | classmethod):
            self._value(value.__func__)
        elif isinstance(value, property):
            self._items("property", (value.fget, value.fset, value.fdel))
        elif callable(getattr(value, "__wrapped__", None)):
            self._value(inspect.unwrap(value))
        else:
            self._instance(value)

    def _items(self, tag: str, items: Any) -> None:
        self._feed(tag, str(len(items)))
        for item in items:
            self._value(item)

    def _apart(self, value: Any) -> bytes:
        other = _Walk()
        other._value(value)
        self.modules |= other.modules
        self._files |= other._files
        self.names += other.names
        return other._hash.digest()

    def _code(self, code: CodeType) -> None:
        self._feed("code", code.co_code)
        self._items("consts", code.co_consts)
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
            self._items("names", names)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self._items("counts", counts)

    def _function(self, fn: FunctionType) -> None:
        if not is_local(fn.__module__) and len(self._kept) > 1:  # the hashed function itself is always walked
            self._feed("installed", f"{fn.__module__}.{fn.__qualname__}")
            return
        self._note(fn.__module__)
        self._code(fn.__code__)
        self._value(fn.__defaults__)
        self._value(fn.__kwdefaults__)
        for cell in fn.__closure__ or ():
            try:
                self._value(cell.cell_contents)
            except ValueError:  # a name that its function has not bound yet
                self._feed("empty")
        for name in sorted(set(_globals_in(fn.__code__))):
            if name in fn.__globals__ or not hasattr(builtins, name):
                self.names.append((fn.__globals__, name, fn.__globals__.get(name, _ABSENT)))
            if name in fn.__globals__:
                self._feed("global", name)
                self._value(fn.__globals__[name])
        for name in sorted(set(_imported_in(fn.__code__))):
            self._feed("import", name)
            self._file(name)

    def _class(self, cls: type) -> None:
        self._feed("class", cls.__qualname__)
        if not is_local(cls.__module__):
            self._feed("installed", cls.__module__)
            return
        self._note(cls.__module__)
        self._items("bases", cls.__bases__)
        for name, value in sorted(vars(cls).items()):
            if (name not in _CLASS_NOISE and not inspect.isdatadescriptor(value)) or isinstance(value, property):
                self._feed("member", name)
                self._value(value)

    def _module(self, name: str) -> None:
        self._feed("module", name)
        self._file(name)

    def _instance(self, value: Any) -> None:
        self._value(type(value))
        try:
            self._value(value.__reduce_ex__(2)[1:3])
        except Exception:  # noqa: BLE001 - a lock or a connection refuses in its own way, and has no content
            self._feed("opaque")

    def _note(self, module: str) -> None:
        if module == "__main__" or module in self.modules or not is_local(module):
            return
        self.modules.add(module)
        if module in sys.modules:  # loading it again gives it a new spec
            space = vars(sys.modules[module])
            self.names.append((space, "__spec__", space.get("__spec__", _ABSENT)))

    def _file(self, name: str) -> None:
        """Notes a local module's file and, through it, the local modules that it imports."""
        path = _file_of(name)
        if path is None or name in self._files:
            return
        self._files[name] = path
        self._note(name)
        for other in _imports_of(path, name):
            self._file(other)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)


def _globals_in(code: CodeType) -> Iterator[str]:
    for part in _codes(code):
        for step in dis.get_instructions(part):
            if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
                yield step.argval


def _imported_in(code: CodeType) -> Iterator[str]:
    for part in _codes(code):
        for step in dis.get_instructions(part):
            if step.opname == "IMPORT_NAME":
                yield step.argval
