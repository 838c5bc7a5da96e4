"""Tiles: the state of many keys in one ring, sorted by key and then by tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import fields as state
from .fields import Fields, Int64s
from .layout import Ring


@dataclass(frozen=True, slots=True)
class Tiles:
    """One entry a (key, tile); `codes` are the keys' positions in the batch, `tiles` are ts // granularity."""

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
    order = np.lexsort((tiles, codes))
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
    oldest = (max_ts_us + 1 - ring.length_us) // ring.granularity_us
    kept = np.flatnonzero(tiles.tiles >= oldest[tiles.codes])
    if len(kept) == len(tiles):
        return tiles
    return Tiles(tiles.codes[kept], tiles.tiles[kept], state.take(tiles.fields, kept))


def window_state(tiles: Tiles, first_tile: Int64s) -> Fields:
    """The merged state of each key's tiles from `first_tile` on; `first_tile` has one entry a key."""
    codes, fields = tiles.codes, tiles.fields
    inside = tiles.tiles >= first_tile[codes]
    if not inside.all():
        kept = np.flatnonzero(inside)
        codes, fields = codes[kept], state.take(fields, kept)
    if not len(codes):
        return state.nothing(fields, len(first_tile))
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    merged = state.merge_runs(fields, starts)
    return merged if len(starts) == len(first_tile) else state.spread(merged, codes[starts], len(first_tile))
