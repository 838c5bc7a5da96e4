"""The one computation of batch and stream: states advanced by events.

A batch ingestion is one large step from nothing, a stream many small ones; the same bytes come out, because
merging is exact and does not depend on order or on where a step ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ..definitions.layout import Layout
from . import fields as state
from . import tiles as ring_tiles
from .fields import Int64s
from .row_codec import pack_rows
from .states import Latest, States, decode


@dataclass(frozen=True, slots=True)
class Events:
    """Events of some keys: arrays of equal length, and the frame with the columns that features are made of."""

    codes: Int64s  # the key of each event, as its position among the states' keys
    ts_us: Int64s
    offsets: Int64s
    frame: pl.DataFrame
    rows: Sequence[Sequence[Any]] | None = None  # the frame's, where they are at hand

    def __len__(self) -> int:
        return len(self.codes)

    def taken(self, positions: Int64s) -> Events:
        """The events at these positions, in this order."""
        return Events(self.codes[positions], self.ts_us[positions], self.offsets[positions], self.frame[positions])


def nothing(keys: int, layout: Layout) -> States:
    """The states of keys that have no event yet."""
    return decode([None] * keys, layout)


def advance(states: States, events: Events, layout: Layout) -> States:
    """The states after these events; those a key has already seen (by offset) change nothing."""
    fresh = np.flatnonzero(events.offsets > states.last_offset[events.codes])
    if len(fresh) < len(events):
        events = events.taken(fresh)
    if not len(events):
        return states
    last_offset, max_ts, applied = states.last_offset.copy(), states.max_ts_us.copy(), states.applied.copy()
    np.maximum.at(last_offset, events.codes, events.offsets)
    np.maximum.at(max_ts, events.codes, events.ts_us)
    applied += np.bincount(events.codes, minlength=len(states))
    when = state.Moments(events.ts_us, events.offsets)
    rings = []
    # Rings share fields, so each is made once.
    made = state.of_events(events.frame, tuple({field for ring in layout.rings for field in ring.fields}), when)
    for old, ring in zip(states.rings, layout.rings, strict=True):
        one_each = {field: made[field] for field in ring.fields}
        # Tile 0 for ever in the ring of one tile: times before the epoch must not open a second.
        tiles = np.zeros_like(events.ts_us) if ring.timeless else events.ts_us // ring.granularity_us
        new = ring_tiles.merged(events.codes, tiles, one_each)
        both = ring_tiles.union(old, new) if len(old) else new
        rings.append(ring_tiles.pruned(both, ring, max_ts))
    latest = _latest(states, events, layout) if layout.plain else states.latest
    return States(last_offset, max_ts, applied, latest, tuple(rings))


def _latest(states: States, events: Events, layout: Layout) -> list[Latest | None]:
    order = np.lexsort((events.offsets, events.ts_us, events.codes))
    codes = events.codes[order]
    winners = order[np.flatnonzero(np.append(codes[1:] != codes[:-1], True))]
    plain = events.frame.select(name for name, _ in layout.plain)
    latest = list(states.latest)
    for code, ts_us, offset, row in zip(
        events.codes[winners].tolist(),
        events.ts_us[winners].tolist(),
        events.offsets[winners].tolist(),
        pack_rows(plain[winners], [dtype for _, dtype in layout.plain]),
        strict=True,
    ):
        known = latest[code]
        if known is None or (ts_us, offset) > (known.ts_us, known.offset):
            latest[code] = Latest(ts_us, offset, row)
    return latest
