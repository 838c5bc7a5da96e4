"""Tiles: the state of many keys in one ring, sorted by key and then by tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..definitions.layout import Field, Ring
from ..definitions.windows import Window
from . import fields as state
from .event_order import pair
from .fields import Column, Fields, Int64s
from .records import Records


@dataclass(frozen=True, slots=True)
class Tiles:
    """One entry a (key, tile); `codes` are the keys' positions in the batch, `tiles` are ts // granularity.

    The ring of one tile has one entry a key, and records that know their time.
    """

    codes: Int64s
    tiles: Int64s
    fields: Fields

    def __len__(self) -> int:
        return len(self.codes)

    def spans(self, keys: int) -> tuple[Int64s, Int64s]:
        """Where each key's entries begin and end."""
        bounds = np.searchsorted(self.codes, np.arange(keys + 1))
        return bounds[:-1], bounds[1:]


def merged(codes: Int64s, tiles: Int64s, fields: Fields) -> Tiles:
    """Sorts the entries and merges those of the same key and tile."""
    if not len(codes):
        return Tiles(codes, tiles, fields)
    packed = pair(codes, tiles)
    order = np.lexsort((tiles, codes)) if packed is None else np.argsort(packed)
    codes, tiles = codes[order], tiles[order]
    new = np.empty(len(codes), dtype=bool)
    new[0] = True
    np.logical_or(codes[1:] != codes[:-1], tiles[1:] != tiles[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    return Tiles(codes[starts], tiles[starts], state.merge_runs(state.take(fields, order), starts))


def union(first: Tiles, second: Tiles) -> Tiles:
    """Both together; which comes first makes no difference."""
    return merged(
        np.concatenate([first.codes, second.codes]),
        np.concatenate([first.tiles, second.tiles]),
        state.joined([first.fields, second.fields]),
    )


def pruned(tiles: Tiles, ring: Ring, max_ts_us: Int64s) -> Tiles:
    """Without the tiles that no admissible moment (q > max_ts of the key) can see again."""
    oldest_us = max_ts_us + 1 - ring.length_us
    if ring.timeless:
        return _since(tiles, oldest_us)
    kept = np.flatnonzero(tiles.tiles >= (oldest_us // ring.granularity_us)[tiles.codes])
    if len(kept) == len(tiles):
        return tiles
    return Tiles(tiles.codes[kept], tiles.tiles[kept], state.take(tiles.fields, kept))


def window_state(tiles: Tiles, ring: Ring, window: Window, q_us: Int64s) -> Fields:
    """The merged state of each key's tiles that the window holds at its moment; `q_us` has one entry a key."""
    first_tile = (q_us - window.length_us) // window.granularity_us
    if ring.timeless:
        tiles = _since(tiles, first_tile * window.granularity_us)
        return state.spread(tiles.fields, tiles.codes, len(q_us))
    codes, fields = tiles.codes, tiles.fields
    inside = tiles.tiles >= first_tile[codes]
    if not inside.all():
        kept = np.flatnonzero(inside)
        codes, fields = codes[kept], state.take(fields, kept)
    if not len(codes):
        return state.nothing(fields, len(q_us))
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    merged = state.merge_runs(fields, starts)
    return merged if len(starts) == len(q_us) else state.spread(merged, codes[starts], len(q_us))


def _since(tiles: Tiles, oldest_us: Int64s) -> Tiles:
    """The one tile of each key without the records older than the key's moment."""
    kept: dict[Field, Column] = {}
    for field, column in tiles.fields.items():
        assert isinstance(column, Records)
        moments = np.repeat(oldest_us[tiles.codes], column.counts)
        kept[field] = column.filtered(column.columns[0] >= moments)
    return Tiles(tiles.codes, tiles.tiles, kept)
