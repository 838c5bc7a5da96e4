"""A secret by name: its value is looked up where a call runs, and is there only while the call runs."""

from __future__ import annotations

import functools
import inspect
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import secret_store
from .errors import DefinitionError, NotFoundError, did_you_mean

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_SHORTEST = 4  # a value of fewer characters would be masked out of ordinary words
_lock = threading.Lock()
_open: dict[str, list[str]] = {}  # variable -> values of the calls that run now
_before: dict[str, str | None] = {}


@dataclass(frozen=True, slots=True)
class Secret:
    """`Secret("hf-token")`: for the call it is the environment variable HF_TOKEN, or the one that `env` names.

    The value is never part of it: it is set by `eagleray secret set`, or is in the environment already.
    """

    name: str
    env: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DefinitionError("a secret's name has letters, digits, '-', '_' and '.': give the name, not the value")
        if not self.env:
            object.__setattr__(self, "env", re.sub(r"[-.]", "_", self.name).upper())


def value_of(secret: Secret, home: Path) -> str:
    """The value: from the environment, else the home's store; raises `NotFoundError`."""
    found = os.environ.get(secret.env) or secret_store.get(home, secret.name)
    if not found:
        known = secret_store.names(home)
        near = did_you_mean(secret.name, known) if known else ""
        raise NotFoundError(
            f"no secret {secret.name!r}{near}: set {secret.env}, or use `eagleray secret set {secret.name}`"
        )
    return found


@contextmanager
def revealed(secrets: Sequence[Secret], home: Path) -> Iterator[None]:
    """Inside, the secrets are environment variables, and `masked` takes them out of texts."""
    found = {secret.env: value_of(secret, home) for secret in secrets}
    with _lock:
        for name, value in found.items():
            if not _open.get(name):
                _before[name] = os.environ.get(name)
            _open.setdefault(name, []).append(value)
            os.environ[name] = value
    try:
        yield
    finally:
        with _lock:
            for name, value in found.items():
                _open[name].remove(value)
                if _open[name]:
                    continue
                before = _before.pop(name)
                if before is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = before


def masked(text: str) -> str:
    """The text without the secrets of the calls that run now."""
    values = {value for some in list(_open.values()) for value in some if len(value) >= _SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


@dataclass(frozen=True, slots=True)
class Reveal:
    """`with reveal(): ...`: the secrets of one function, found on the machine it runs on; travels without any value."""

    secrets: tuple[Secret, ...]
    home: Path

    def __call__(self) -> AbstractContextManager[None]:
        return revealed(self.secrets, self.home)

    def around(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its secrets revealed while it runs; of the same kind (generator, coroutine) as before."""
        if inspect.isasyncgenfunction(fn):

            @functools.wraps(fn)
            async def streamed(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                with self():
                    async for value in fn(*args, **kwargs):
                        yield value

            return streamed
        if inspect.isgeneratorfunction(fn):

            @functools.wraps(fn)
            def yielded(*args: Any, **kwargs: Any) -> Iterator[Any]:
                with self():
                    yield from fn(*args, **kwargs)

            return yielded
        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self():
                    return await fn(*args, **kwargs)

            return awaited

        @functools.wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self():
                return fn(*args, **kwargs)

        return called
