"""`@function`: a plain Python function that also runs on Ray, one call at a time or over many items."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from ..runtime.errors import DefinitionError
from .calls import map_in_order
from .spec import FunctionSpec, Options

if TYPE_CHECKING:
    from ..runtime.ray_tasks import ObjectRef, Tasks

P = ParamSpec("P")
R = TypeVar("R")


class Function(Generic[P, R]):
    """A decorated function: calling it is calling the function itself; `.remote` and `.map` run it on Ray."""

    spec: FunctionSpec
    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[P, R], spec: FunctionSpec) -> None:
        functools.update_wrapper(cast("Callable[..., Any]", self), fn)
        self.spec = spec
        self._fn = fn
        self._tasks: Tasks[R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._fn(*args, **kwargs)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> ObjectRef[R]:
        """Starts one call on Ray and returns its `ray.ObjectRef` at once; `ray.get` raises the user's error type.

        Starts a local Ray (or joins `RAY_ADDRESS`) on first use; a lost worker's call runs again `retries` times.
        """
        return self._ray().submit(args, kwargs)

    def map(self, items: Iterable[Any]) -> Iterator[R]:
        """Yields the result of each item in the items' order, computed on Ray while you read.

        Reads `items` (a generator too) only as far ahead as the cluster's slots need; small items travel in
        batches. The first item that fails raises its own error, after the results of those before it; unread
        work is then cancelled.
        """
        if inspect.isgeneratorfunction(self._fn):
            raise DefinitionError(
                f"{self.__name__}.map needs a function that returns: return a list instead of yielding"
            )
        return map_in_order(self._ray().batches(), items)

    def options(self, **changes: Unpack[Options]) -> Function[P, R]:
        """A copy with other needs, for instance `.options(gpu=0.5)`; the original stays as it is."""
        return Function(self._fn, self.spec.changed(changes))

    def _ray(self) -> Tasks[R]:
        if self._tasks is None:
            # Ray takes a second to import: only who calls .remote or .map pays for it.
            from ..runtime.ray_tasks import Tasks

            spec = self.spec
            self._tasks = Tasks(
                self._fn,
                name=spec.name,
                resources=spec.resources,
                retries=spec.retries,
                timeout_s=spec.timeout_s,
                packages=spec.packages,
            )
        return self._tasks

    def __getstate__(self) -> dict[str, object]:
        # Ray's handles belong to this process's connection; another process makes its own.
        return {**self.__dict__, "_tasks": None}

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__qualname__} on Ray>"


@overload
def function(fn: Callable[P, R], /) -> Function[P, R]: ...


@overload
def function(**options: Unpack[Options]) -> Callable[[Callable[P, R]], Function[P, R]]: ...


def function(
    fn: Callable[P, R] | None = None, /, **options: Unpack[Options]
) -> Function[P, R] | Callable[[Callable[P, R]], Function[P, R]]:
    """Makes a plain function callable on Ray: `@function`, or `@function(cpus=2, gpu=0.25, memory="2Gi", ...)`.

    The options are those of `eagleray.functions.spec.Options`. Raises `DefinitionError` for a wrong option and for
    what is no plain function (a class, a method, something callable).
    """

    def decorate(target: Callable[P, R]) -> Function[P, R]:
        _check(target)
        return Function(target, FunctionSpec(name=target.__name__).changed(options))

    return decorate if fn is None else decorate(fn)


def _check(target: object) -> None:
    if isinstance(target, Function):
        raise DefinitionError(f"{target.__name__} is decorated twice: use .options(...) for a copy with other needs")
    if not inspect.isfunction(target):
        what = getattr(target, "__name__", type(target).__name__)
        raise DefinitionError(f"@function takes a plain function; {what} is a {type(target).__name__}")
    outer = target.__qualname__.rpartition("<locals>.")[2]
    if "." in outer:
        raise DefinitionError(f"{outer} is a method: move it out of its class and hand the object in as an argument")
