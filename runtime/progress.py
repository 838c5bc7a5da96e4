"""What long work shows on a terminal: a bar for counted work, a line for a stage."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TextIO, TypeVar

T = TypeVar("T")


def track(items: Iterable[T], label: str, *, total: int | None = None, stream: TextIO | None = None) -> Iterator[T]:
    """Yields `items` and draws a bar on stderr while it does; silent when stderr is no terminal."""
    with counter(label, total=total if total is not None else _length(items), stream=stream) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def counter(label: str, *, total: int | None = None, stream: TextIO | None = None) -> Iterator[Callable[[int], None]]:
    """Gives a function that advances the bar by n; silent when the stream is no terminal."""
    out = sys.stderr if stream is None else stream
    if not out.isatty():
        yield lambda _: None
        return
    # rich costs 0.1 s to import, so a library call that draws nothing never pays for it.
    from .rich_bar import bar

    with bar(label, total=total, stream=out) as advance:
        yield advance


def _length(items: Iterable[object]) -> int | None:
    return len(items) if isinstance(items, Sized) else None
