"""A search under way in a notebook: a line, a bar and the last trials, shown anew in one place of the cell's output."""

from __future__ import annotations

import contextvars
import html
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..training.standing import COLUMNS, Standing

_EVERY_S = 0.5


class Page:
    """What a notebook shows: HTML, or text where it shows no HTML."""

    def __init__(self, one: Standing) -> None:
        self._one = one

    def _repr_html_(self) -> str:
        rows = "".join(_row("td", row) for row in self._one.rows())
        bar = f"<progress max='1' value='{self._one.share:.3f}' style='width:30em'></progress>"
        return f"<div>{html.escape(self._one.line)}</div>{bar}<table>{_row('th', COLUMNS)}{rows}</table>"

    def __repr__(self) -> str:
        return "\n".join([self._one.line, *("  ".join(row) for row in self._one.rows())])


@contextmanager
def shown(now: Callable[[], Standing], display: Callable[..., Any]) -> Iterator[None]:
    """Shows what `now` gives, twice a second, until the block ends; `display` is IPython's."""
    handle = display(Page(now()), display_id=True)
    ended = threading.Event()

    def update() -> None:
        while not ended.wait(_EVERY_S):
            handle.update(Page(now()))

    # In the cell's own context, or what is shown would go to whichever cell runs.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(update,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        handle.update(Page(now()))


def _row(tag: str, texts: tuple[str, ...]) -> str:
    cells = "".join(f"<{tag} style='text-align:left'>{html.escape(text)}</{tag}>" for text in texts)
    return f"<tr>{cells}</tr>"
