"""What people do with the hub: load a function by name, search, list."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..functions.function import Function
from ..runtime.errors import HubItemNotFound
from .item import Item
from .ranking import ranked
from .shelf import Shelf

_ADDRESS = re.compile(r"(?:hub://)?([^@/]+)(?:@([^@/]+))?")


def load(address: str, *, shelf: Path | str | None = None) -> Function[..., Any]:
    """The function at "hub://name" or "hub://name@1.0.0", ready for a plain call, `.remote` and `.map`.

    `shelf` is a folder of the user's own items (its code runs when an item is loaded); without it the library of the
    wheel. Raises `HubItemNotFound`, which suggests the nearest name, and `InputError` naming a missing package.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise HubItemNotFound(f"{address!r} is no hub address: write 'hub://name' or 'hub://name@1.0.0'")
    name, version = found.groups()
    source = _shelf(shelf)
    item = source.item(name)
    if version is not None and version != item.version:
        raise HubItemNotFound(f"no hub item {name!r} of version {version}: this shelf has {item.version}")
    return source.function(name)


def search(words: str, *, shelf: Path | str | None = None) -> list[Item]:
    """Items whose name, tags or summary hold all `words` (beginnings suffice), the best first."""
    return ranked(_shelf(shelf).items(), words)


def items(*, shelf: Path | str | None = None) -> list[Item]:
    """Every item's card, by name."""
    return _shelf(shelf).items()


def show(name: str, *, shelf: Path | str | None = None) -> Item:
    """One item's card, by name or address; raises `HubItemNotFound`."""
    return _shelf(shelf).item(name.removeprefix("hub://").partition("@")[0])


def _shelf(folder: Path | str | None) -> Shelf:
    return Shelf.library() if folder is None else Shelf.of(folder)
