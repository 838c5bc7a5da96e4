"""Which hub items fit some words best."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .item import Item

_WEIGHTS = {"name": 4, "tags": 2, "summary": 1}


def ranked(items: Iterable[Item], words: str) -> list[Item]:
    """Items that hold every word's beginning somewhere, the best first; no words: all, by name.

    A word in the name counts four times, in the tags twice, in the summary once.
    """
    wanted = _words(words)
    scored = [(score, item) for item in items if (score := _score(item, wanted)) is not None]
    return [item for _, item in sorted(scored, key=lambda pair: (-pair[0], pair[1].name))]


def _score(item: Item, wanted: list[str]) -> int | None:
    fields = {"name": _words(item.name), "tags": _words(" ".join(item.tags)), "summary": _words(item.summary)}
    total = 0
    for word in wanted:
        hits = [weight for field, weight in _WEIGHTS.items() if any(known.startswith(word) for known in fields[field])]
        if not hits:
            return None
        total += sum(hits)
    return total


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
