"""Keys as small whole numbers: the same code for the same key in the events and in the questions about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..definitions.entity import Entity

Int64s = NDArray[np.int64]


def key_codes(events: pl.DataFrame, asked: pl.DataFrame, entities: Sequence[Entity]) -> tuple[Int64s, Int64s]:
    """The code of each event's key, -1 for one that nobody asks about, and of each question's, -1 for null."""
    names = [entity.name for entity in entities]
    if len(names) == 1 and entities[0].dtype == "int64":
        found = _dense(events[names[0]], asked[names[0]])
        if found is not None:
            return found
    keys = asked.select(names).unique(maintain_order=True).with_row_index("_code")

    def codes(frame: pl.DataFrame) -> Int64s:
        found = frame.select(names).join(keys, on=names, how="left", maintain_order="left")["_code"]
        return found.cast(pl.Int64).fill_null(-1).to_numpy()

    return codes(events), codes(asked)


def _dense(events: pl.Series, asked: pl.Series) -> tuple[Int64s, Int64s] | None:
    """Whole numbers close to one another are codes as they are; None where they are not."""
    if not len(events) or not len(asked) or events.null_count() or asked.null_count():
        return None
    keys, wanted = events.to_numpy(), asked.to_numpy()
    low, high = int(wanted.min()), int(wanted.max())
    if high - low > len(keys) + len(wanted):
        return None
    inside = int(keys.min()) >= low and int(keys.max()) <= high
    within = keys if inside else np.clip(keys, low, high)
    codes = within - low
    seen = np.zeros(high - low + 1, dtype=bool)
    seen[wanted - low] = True
    known = seen[codes]
    if not inside:
        known &= within == keys
    return (codes if known.all() else np.where(known, codes, -1)), wanted - low
