"""A call that is ready to run, and the port to who runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ...runtime.errors import InputError, did_you_mean
from .contents import Kept
from .node import Node, Path


@dataclass(frozen=True, slots=True)
class Given:
    """A value that is at hand."""

    value: Any


@dataclass(frozen=True, slots=True)
class Stored:
    """A kept output, or what is in it; `of` names its step. `alone`: nobody else will ask for it."""

    ref: str
    path: Path = ()
    alone: bool = False
    of: str = ""


@dataclass(frozen=True, slots=True)
class Compound:
    """A value made of others: a list, a tuple or a dict."""

    fill: Callable[[list[Any]], Any]
    parts: tuple[Input, ...]


Input = Given | Stored | Compound


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a node's function: `name` is the step's, of a map's item NAME[3].

    `shown` are the arguments in words, for the tracked run; `takers` is how many nodes take what it gives.
    """

    name: str
    node: Node
    args: tuple[Input, ...] = ()
    kwargs: tuple[tuple[str, Input], ...] = ()
    shown: tuple[tuple[str, str], ...] = ()
    key: str = ""
    takers: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended: what it gave, or the error it raised; `tracked` is its MLflow run."""

    call: Call
    kept: Kept | None = None
    error: BaseException | None = None
    tracked: str = ""


class Crew(Protocol):
    """Who runs calls: threads of this process, or Ray."""

    @property
    def at_once(self) -> int:
        """How many calls it takes at the same time."""
        ...

    def start(self, call: Call, *, alone: bool) -> None:
        """Begins a call and returns; where it is `alone` (nothing else runs, nothing else may begin) it may end it."""
        ...

    def wait(self) -> list[Ended]:
        """Waits until one or more calls have ended."""
        ...

    def value(self, wanted: Input) -> Any:
        """A value here, for conditions and for the list of a map."""
        ...

    def forget(self, ref: str) -> None:
        """Nobody will ask for this output any more."""
        ...

    def stop(self) -> None:
        """Ends the calls that run, as Ctrl-C does, and returns when they have, or after some seconds."""
        ...


def at_path(value: Any, path: Path, of: str) -> Any:
    """What is at a path in a step's output; raises `InputError`."""
    for done, key in enumerate(path):
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            where = of + "".join(f"[{one!r}]" for one in path[:done])
            known = did_you_mean(str(key), map(str, value)) if isinstance(value, dict) else ""
            raise InputError(f"{where} is a {type(value).__name__} without [{key!r}]{known}") from None
    return value
