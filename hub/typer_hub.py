"""`eagleray hub`: ready-made functions by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.rich_output import show_one, show_rows
from ..runtime.typer_options import AsJson

if TYPE_CHECKING:
    from .item import Item

app = typer.Typer(no_args_is_help=True, help="Ready-made functions by name.")

Shelf = Annotated[str | None, typer.Option("--shelf", help="A folder of items of your own.")]


@app.command("list")
def list_items(as_json: AsJson = False, shelf: Shelf = None) -> None:
    """List every item."""
    from . import front

    _show_items(front.items(shelf=shelf), as_json)


@app.command()
def search(words: list[str], as_json: AsJson = False, shelf: Shelf = None) -> None:
    """Find items by words (their beginnings suffice)."""
    from . import front

    _show_items(front.search(" ".join(words), shelf=shelf), as_json)


@app.command()
def show(name: str, as_json: AsJson = False, shelf: Shelf = None) -> None:
    """Show one item: its card, and how it is called."""
    from . import front

    item = front.show(name, shelf=shelf)
    loaded = front.load(name, shelf=shelf)
    fields = {
        **item.as_dict(),
        "signature": f"{loaded.__name__}{inspect.signature(loaded)}",
        "doc": inspect.getdoc(loaded),
    }
    show_one(fields, as_json=as_json)


def _show_items(items: Iterable[Item], as_json: bool) -> None:
    rows = [item.as_dict() for item in items]
    shown = rows if as_json else [{key: row[key] for key in ("name", "version", "summary", "tags")} for row in rows]
    show_rows(shown, as_json=as_json, empty="nothing found")
