"""The step of a feature set without windows: stored values in, stored values out, all keys at once.

It gives the bytes that decoding, advancing and encoding give (engine.py, states.py), without an object a key.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .engine import Events
from .layout import Layout
from .packed import Opened, Opener
from .row_codec import cut, has_tail, pack_row, row_slots
from .schema import NUMERIC
from .states import FORMAT

FEW = 64  # below it, plain Python is faster than a call a column
_MOMENT_BYTES = 16  # a latest row is preceded by its ts and its offset


class PlainStep:
    """Advances the stored values of a layout that has no rings."""

    def __init__(self, layout: Layout) -> None:
        self._names = [name for name, _ in layout.plain]
        self._dtypes = [dtype for _, dtype in layout.plain]
        self._tailed = [place for place, dtype in enumerate(self._dtypes) if has_tail(dtype)]
        self._scalar = all(dtype in NUMERIC for dtype in self._dtypes)
        self._opener = Opener(layout)

    def advanced(self, packed: Sequence[bytes | None], events: Events) -> list[bytes]:
        """The values after these events; those a key has already seen change nothing. Every key has an event."""
        opened = self._opener.open(packed)
        old = opened.head
        fresh = np.flatnonzero(events.offsets > old["last_offset"][events.codes])
        if len(fresh) < len(events):
            events = events.taken(fresh)
        head = np.frombuffer(bytearray(opened.block), dtype=old.dtype)  # copying records goes field by field
        head["format"] = FORMAT
        for name, values in (("last_offset", events.offsets), ("max_ts_us", events.ts_us)):
            newest = old[name].astype(np.int64)
            np.maximum.at(newest, events.codes, values)
            head[name] = newest
        head["applied"] += np.bincount(events.codes, minlength=len(old))
        won = self._winners(events, old)
        tails = self._overwritten(head, events if len(won) == len(events) else events.taken(won), opened)
        sizes: NDArray[np.int64] = np.full(len(head), _MOMENT_BYTES + head["row"].dtype.itemsize, dtype=np.int64)
        for place in self._tailed:
            sizes += head["row"][f"f{place}"]
        head["row_bytes"] = sizes
        return cut(head.tobytes(), self._opener.size, tails)

    @staticmethod
    def _winners(events: Events, old: NDArray[np.void]) -> NDArray[np.int64]:
        """The newest event of each key by (ts, offset), where it is newer than the row that is stored."""
        codes = events.codes
        if len(codes) and (codes[1:] > codes[:-1]).all():
            last = np.arange(len(codes))
        else:
            order = np.lexsort((events.offsets, events.ts_us, codes))
            ordered = codes[order]
            last = order[np.flatnonzero(np.append(ordered[1:] != ordered[:-1], len(order) > 0))]
        known = codes[last]
        ts_us, stored_us = events.ts_us[last], old["ts_us"][known]
        later = (ts_us > stored_us) | ((ts_us == stored_us) & (events.offsets[last] > old["offset"][known]))
        winners: NDArray[np.int64] = last[later]
        return winners

    def _overwritten(self, head: NDArray[np.void], winners: Events, opened: Opened) -> list[list[bytes]]:
        """Writes the winners' rows into the heads; the tails of all rows, new and kept."""
        codes = winners.codes
        slots, new = self._rows(winners.frame)
        head["row"][codes] = slots
        head["ts_us"][codes], head["offset"][codes] = winners.ts_us, winners.offsets
        if not self._tailed:
            return []
        whole = [value[self._opener.size :] for value in opened.values]
        for code, parts in zip(codes.tolist(), zip(*new, strict=True), strict=True):
            whole[code] = b"".join(parts)
        return [whole]

    def _rows(self, frame: pl.DataFrame) -> tuple[NDArray[np.void], list[list[bytes]]]:
        if frame.height > FEW or not self._scalar:
            return row_slots([frame.get_column(name) for name in self._names], self._dtypes)
        columns = frame.columns
        places = [columns.index(name) for name in self._names]
        packed = [pack_row([row[place] for place in places], self._dtypes) for row in frame.rows()]
        return np.frombuffer(b"".join(packed), dtype=self._opener.dtype["row"]), []
