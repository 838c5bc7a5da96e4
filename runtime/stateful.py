"""A class as a function: one object a process, set up once, called as often as wanted."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .errors import DefinitionError

Inside = Callable[[], AbstractContextManager[None]]  # what setup and calls happen within


class Stateful:
    """Calls `predict` (else `__call__`) of one object of `cls`, made with `init` and set up by its `setup()`, if any.

    The object is made at the first call, or by `ready()`. What travels is the class and `init`, never the object.
    """

    def __init__(self, cls: type, init: Mapping[str, Any], inside: Inside = nullcontext) -> None:
        self.cls = cls
        self.init = dict(init)
        self._inside = inside
        self.called = _method_of(cls)
        self.__name__ = cls.__name__
        self.__signature__ = _without_self(self.called)
        self._call: Callable[..., Any] | None = None
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._inside():
            return (self._call or self.ready())(*args, **kwargs)

    def ready(self) -> Callable[..., Any]:
        """What answers a call, after setup; raises whatever constructor and setup raise."""
        with self._lock, self._inside():
            if self._call is None:
                made = self.cls(**self.init)
                setup = getattr(made, "setup", None)
                if setup is not None:
                    setup()
                self._call = getattr(made, self.called.__name__)
            return self._call

    def close(self) -> None:
        """Lets the object go, its `teardown()`, if any, called."""
        with self._lock:
            made = getattr(self._call, "__self__", None)
            self._call = None
        teardown = getattr(made, "teardown", None)
        if teardown is not None:
            teardown()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Stateful, (self.cls, self.init, self._inside))


def _method_of(cls: type) -> Callable[..., Any]:
    """The method that answers calls, or `DefinitionError`."""
    for name in ("predict", "__call__"):
        method = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
        if inspect.isfunction(method):
            return method
    raise DefinitionError(f"{cls.__name__} has no predict(...): a class needs one, to be called as a function")


def _without_self(method: Callable[..., Any]) -> inspect.Signature:
    found = inspect.signature(method)
    return found.replace(parameters=list(found.parameters.values())[1:])
