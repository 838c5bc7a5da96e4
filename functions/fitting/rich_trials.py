"""Adapter: a search under way as a table on a terminal, drawn by rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..training.standing import COLUMNS, Standing


@contextmanager
def live(now: Callable[[], Standing], *, stream: TextIO) -> Iterator[None]:
    """Draws what `now` gives, four times a second, until the block ends; a line stays."""
    console = Console(file=stream)
    with Live(
        console=console, get_renderable=lambda: drawn(now()), refresh_per_second=4, transient=True,
        redirect_stdout=False, redirect_stderr=False,
    ):  # fmt: skip
        yield
    console.print(Text(now().line), soft_wrap=True)


def drawn(one: Standing) -> Group:
    """A line, a bar of the budget, and the last trials."""
    table = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold")
    for row in one.rows():
        style = "red" if one.last and row[2] == "-" else "green" if row[2].endswith("*") else ""
        table.add_row(*(Text(text) for text in row), style=style)
    bar = Table.grid()  # a row of its own: a bar alone ends no line
    bar.add_row(ProgressBar(total=1.0, completed=one.share, width=60))
    return Group(Text(one.line), bar, table)
