"""Shows a search under way: a table on a terminal, a cell's output in a notebook, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

from ..training.standing import standing
from ..training.tune import Tuning


@contextmanager
def watched(tuning: Tuning, *, ends_s: float, wanted: bool, stream: TextIO | None = None) -> Iterator[None]:
    """While the block runs; `stream` is stderr unless said. Nothing is drawn where it is no terminal."""
    now = partial(standing, tuning, ends_s=ends_s)
    out = sys.stderr if stream is None else stream
    display = _notebook() if wanted else None
    if display is not None:
        from .notebook_trials import shown

        with shown(now, display):
            yield
    elif wanted and out.isatty():
        from .rich_trials import live

        with live(now, stream=out):
            yield
    else:
        yield


def _notebook() -> Any:
    """IPython's display where a notebook's kernel runs this; None elsewhere. Loads nothing."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    return display
