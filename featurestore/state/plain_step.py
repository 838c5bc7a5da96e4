"""The step of a feature set without windows: stored values in, stored values out, all keys at once.

It gives the bytes that decoding, advancing and encoding give (engine.py, states.py), without an object a key.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..definitions.layout import Layout
from ..definitions.schema import NUMERIC
from .engine import Events
from .packed import Opened, Opener, foreign
from .row_codec import cut, has_tail, pack_row, row_slots
from .states import FORMAT, NEVER_US

FEW = 64  # below it, plain Python is faster than a call a column
_OFFSET, _REST = struct.Struct(">q"), struct.Struct("<qqIqq")  # behind the format: last offset; all up to the row
_MOMENT_BYTES = 16  # a latest row is preceded by its ts and its offset


class PlainStep:
    """Advances the stored values of a layout that has no rings."""

    def __init__(self, layout: Layout) -> None:
        self._names = [name for name, _ in layout.plain]
        self._dtypes = [dtype for _, dtype in layout.plain]
        self._tailed = [place for place, dtype in enumerate(self._dtypes) if has_tail(dtype)]
        self.scalar = all(dtype in NUMERIC for dtype in self._dtypes)
        self._opener = Opener(layout)

    def advanced(self, packed: Sequence[bytes | None], events: Events) -> list[bytes]:
        """The values after these events; those a key has already seen change nothing. Every key has an event."""
        if len(events) <= FEW and self.scalar:
            return self._advanced_few(packed, events)
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

    def _advanced_few(self, packed: Sequence[bytes | None], events: Events) -> list[bytes]:
        """The same for some events: a loop over them, without the fixed cost of a dozen arrays."""
        keys = [_Key(value, self._opener.size) for value in packed]
        columns = events.frame.columns
        places = [columns.index(name) for name in self._names]
        rows = events.frame.rows() if events.rows is None else events.rows
        for code, ts_us, offset, row in zip(
            events.codes.tolist(), events.ts_us.tolist(), events.offsets.tolist(), rows, strict=True
        ):
            keys[code].see(ts_us, offset, row)
        return [
            key.value(pack_row([key.row[place] for place in places], self._dtypes) if key.row else key.packed_row)
            for key in keys
        ]

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
        slots, new = row_slots([winners.frame.get_column(name) for name in self._names], self._dtypes)
        head["row"][codes] = slots
        head["ts_us"][codes], head["offset"][codes] = winners.ts_us, winners.offsets
        if not self._tailed:
            return []
        whole = [value[self._opener.size :] for value in opened.values]
        for code, parts in zip(codes.tolist(), zip(*new, strict=True), strict=True):
            whole[code] = b"".join(parts)
        return [whole]


class _Key:
    """One key's state, opened by hand."""

    __slots__ = ("_latest", "_seen", "applied", "last_offset", "max_ts_us", "packed_row", "row")

    def __init__(self, value: bytes | None, size: int) -> None:
        self.row: Sequence[object] = ()
        self.packed_row = b""
        self.last_offset, self.max_ts_us, self.applied = -1, NEVER_US, 0
        self._latest = (NEVER_US, -1)
        if value is not None:
            if len(value) != size or value[0] != FORMAT:
                raise foreign()
            (self.last_offset,) = _OFFSET.unpack_from(value, 1)
            self.max_ts_us, self.applied, _, ts_us, offset = _REST.unpack_from(value, 9)
            self._latest = (ts_us, offset)
            self.packed_row = value[9 + _REST.size :]
        self._seen = self.last_offset

    def see(self, ts_us: int, offset: int, row: Sequence[object]) -> None:
        """Takes an event in, unless it was seen before."""
        if offset <= self._seen:
            return
        self.applied += 1
        self.last_offset, self.max_ts_us = max(self.last_offset, offset), max(self.max_ts_us, ts_us)
        if (ts_us, offset) > self._latest:
            self._latest, self.row = (ts_us, offset), row

    def value(self, row: bytes) -> bytes:
        """As it is stored."""
        rest = _REST.pack(self.max_ts_us, self.applied, _MOMENT_BYTES + len(row), *self._latest)
        return b"".join((bytes((FORMAT,)), _OFFSET.pack(self.last_offset), rest, row))
