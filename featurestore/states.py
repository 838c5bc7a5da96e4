"""The online state of many keys, and its packed form: one value a key, one decode a batch.

A value is a header (format, last offset, max ts, number of events applied, sizes), the latest row of plain
features, each ring's tiles, sparse and ascending, with their state of fixed size, and at the end the lists of all
rings. The last offset is big-endian and stands first, so that the server can compare two of them as text.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..runtime.errors import StorageError
from . import record_codec
from .fields import Column, Int64s
from .fixed_point import Fixed
from .layout import LISTED, SUMS, Field, Layout, Ring
from .record_codec import Packer
from .records import Records
from .tiles import Tiles

FORMAT = 2
NEVER_US = -(2**62)  # max_ts of a key that has no event
OFFSET_BYTES = slice(1, 9)
_HEAD = struct.Struct(">Bq")
_COUNTS = struct.Struct("<qqI")
_LATEST = struct.Struct("<qq")


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest row of plain features by (ts, offset), packed."""

    ts_us: int
    offset: int
    row: bytes


@dataclass(frozen=True, slots=True)
class States:
    """The state of n keys; arrays have one entry a key, tiles know their key by its position."""

    last_offset: Int64s  # -1: none yet
    max_ts_us: Int64s
    applied: Int64s
    latest: list[Latest | None]
    rings: tuple[Tiles, ...]

    def __len__(self) -> int:
        return len(self.last_offset)


def decode(packed: Sequence[bytes | None], layout: Layout) -> States:
    """The states behind stored values, None for a key that is not stored; raises `StorageError` on foreign bytes."""
    keys = len(packed)
    last_offset = np.full(keys, -1, dtype=np.int64)
    max_ts = np.full(keys, NEVER_US, dtype=np.int64)
    applied = np.zeros(keys, dtype=np.int64)
    latest: list[Latest | None] = [None] * keys
    counts = np.zeros((keys, len(layout.rings)), dtype=np.int64)
    blocks: list[list[bytes]] = [[] for _ in layout.rings]
    lists = [{field: list[Records]() for field in ring.fields if field.kind in LISTED} for ring in layout.rings]
    kinds = [slot_dtype(ring) for ring in layout.rings]
    sizes = struct.Struct(f"<{len(layout.rings)}I")
    for key, value in enumerate(packed):
        if value is None:
            continue
        try:
            form, last_offset[key] = _HEAD.unpack_from(value)
            max_ts[key], applied[key], row_bytes = _COUNTS.unpack_from(value, _HEAD.size)
            at = _HEAD.size + _COUNTS.size
            here = sizes.unpack_from(value, at)
            at += sizes.size
            if row_bytes:
                ts_us, offset = _LATEST.unpack_from(value, at)
                latest[key] = Latest(ts_us, offset, value[at + _LATEST.size : at + row_bytes])
                at += row_bytes
        except struct.error:
            form = -1
        if form != FORMAT:
            raise _foreign(form)
        for ring, (n, kind) in enumerate(zip(here, kinds, strict=True)):
            counts[key, ring] = n
            blocks[ring].append(value[at : at + n * kind.itemsize])
            at += n * kind.itemsize
        for n, fields in zip(here, lists, strict=True):
            for field, parts in fields.items():
                try:
                    found, at = record_codec.unpack(field, value, at, n)
                except ValueError:
                    raise _foreign(form) from None
                parts.append(found)
        if at != len(value):
            raise _foreign(form)
    rings = tuple(
        _unpacked(b"".join(blocks[place]), kinds[place], ring, counts[:, place], lists[place])
        for place, ring in enumerate(layout.rings)
    )
    return States(last_offset, max_ts, applied, latest, rings)


def encode(states: States, layout: Layout) -> list[bytes]:
    """The packed value of every key; equal states give equal bytes."""
    sizes = struct.Struct(f"<{len(layout.rings)}I")
    rings = []
    for tiles, ring in zip(states.rings, layout.rings, strict=True):
        starts, ends = tiles.spans(len(states))
        packers = [Packer(field, column) for field in ring.fields if isinstance(column := tiles.fields[field], Records)]
        rings.append((_packed(tiles, ring), slot_dtype(ring).itemsize, starts.tolist(), ends.tolist(), packers))
    values = []
    heads = zip(states.last_offset.tolist(), states.max_ts_us.tolist(), states.applied.tolist(), strict=True)
    for key, (last_offset, max_ts, applied) in enumerate(heads):
        latest = states.latest[key]
        row = b"" if latest is None else _LATEST.pack(latest.ts_us, latest.offset) + latest.row
        parts = [_HEAD.pack(FORMAT, last_offset), _COUNTS.pack(max_ts, applied, len(row))]
        parts += (sizes.pack(*(ends[key] - starts[key] for _, _, starts, ends, _ in rings)), row)
        parts += (block[starts[key] * size : ends[key] * size] for block, size, starts, ends, _ in rings)
        parts += (packer.block(starts[key], ends[key]) for _, _, starts, ends, packers in rings for packer in packers)
        values.append(b"".join(parts))
    return values


@cache
def slot_dtype(ring: Ring) -> np.dtype[np.void]:
    """The packed record of one tile: its number and the state of fixed size."""
    columns: list[tuple[str, str]] = [("tile", "<i8")]
    for place, field in enumerate(ring.fields):
        if field.kind in LISTED:
            continue
        if field.kind in SUMS:
            columns += [(f"hi{place}", "<i8"), (f"lo{place}", "<u8")]
        else:
            columns.append((f"f{place}", "<i8" if _whole(field) else "<f8"))
    return np.dtype(columns)


def _packed(tiles: Tiles, ring: Ring) -> bytes:
    slots = np.empty(len(tiles), dtype=slot_dtype(ring))
    slots["tile"] = tiles.tiles
    for place, field in enumerate(ring.fields):
        column = tiles.fields[field]
        if isinstance(column, Fixed):
            slots[f"hi{place}"], slots[f"lo{place}"] = column.hi, column.lo
        elif isinstance(column, np.ndarray):
            slots[f"f{place}"] = column
    return slots.tobytes()


def _unpacked(
    block: bytes, kind: np.dtype[np.void], ring: Ring, counts: Int64s, lists: dict[Field, list[Records]]
) -> Tiles:
    slots = np.frombuffer(block, dtype=kind)
    codes = np.repeat(np.arange(len(counts)), counts)
    listed = {field: record_codec.joined(field, parts) for field, parts in lists.items()}
    return Tiles(codes, np.ascontiguousarray(slots["tile"]), _fields(slots, ring) | listed)


def _fields(slots: np.ndarray[tuple[int], np.dtype[np.void]], ring: Ring) -> dict[Field, Column]:
    columns: dict[Field, Column] = {}
    for place, field in enumerate(ring.fields):
        if field.kind in LISTED:
            continue
        if field.kind in SUMS:
            columns[field] = Fixed(np.ascontiguousarray(slots[f"hi{place}"]), np.ascontiguousarray(slots[f"lo{place}"]))
        else:
            columns[field] = np.ascontiguousarray(slots[f"f{place}"])
    return columns


def _whole(field: Field) -> bool:
    return field.integer or field.kind in ("rows", "n")


def _foreign(form: int) -> StorageError:
    return StorageError(
        f"a stored value has an unknown form (format {form}): another program wrote this key, "
        "or a newer eagleray did; ingest the feature set again under a new version"
    )
