"""Floor 5: the function hub. `from eagleray import hub`, then `hub.load("hub://describe")`, `.search`, `.list`.

The one floor whose __init__ holds names: the root's `hub` is this package itself, so this is its face.
"""

from .front import items as list  # noqa: A004 - reads `hub.list()` where it is used
from .front import load, search, show
from .item import Item

__all__ = ["Item", "list", "load", "search", "show"]
