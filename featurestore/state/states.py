"""The online state of many keys, and its packed form: one value a key, one decode a batch.

A value is a header (format, last offset, max ts, number of events applied, sizes), the latest row of plain
features, each ring's tiles, sparse and ascending, with their state of fixed size, and at the end the lists of all
rings. The last offset is big-endian and stands first, so that the server can compare two of them as text.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ...runtime.errors import StorageError
from ..definitions.layout import LISTED, SUMS, Field, Layout, Ring
from . import record_codec
from .fields import Column, Int64s
from .fixed_point import Fixed
from .record_codec import Packer
from .records import Records
from .tiles import Tiles

FORMAT = 2
NEVER_US = -(2**62)  # max_ts of a key that has no event
OFFSET_BYTES = slice(1, 9)
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
    stored = [(key, value) for key, value in enumerate(packed) if value is not None]
    keys, values = [key for key, _ in stored], [value for _, value in stored]
    heads = _heads(values, layout)
    last_offset = np.full(len(packed), -1, dtype=np.int64)
    max_ts = np.full(len(packed), NEVER_US, dtype=np.int64)
    applied = np.zeros(len(packed), dtype=np.int64)
    counts = np.zeros((len(packed), len(layout.rings)), dtype=np.int64)
    last_offset[keys], max_ts[keys], applied[keys] = heads["last_offset"], heads["max_ts_us"], heads["applied"]
    counts[keys] = heads["tiles"]
    at = heads["row_bytes"].astype(np.int64) + heads.itemsize
    latest: list[Latest | None] = [None] * len(packed)
    if layout.plain:
        for key, value, end in zip(keys, values, at.tolist(), strict=True):
            if end > heads.itemsize:
                row = value[heads.itemsize : end]
                ts_us, offset = _LATEST.unpack_from(row)
                latest[key] = Latest(ts_us, offset, row[_LATEST.size :])
    blocks = []
    for place, ring in enumerate(layout.rings):
        ends = at + heads["tiles"][:, place].astype(np.int64) * slot_dtype(ring).itemsize
        bounds = zip(values, at.tolist(), ends.tolist(), strict=True)
        blocks.append(b"".join([value[start:end] for value, start, end in bounds]))
        at = ends
    lists = _lists(values, at.tolist(), heads["tiles"].tolist(), layout)
    rings = tuple(
        _unpacked(block, ring, counts[:, place], lists[place])
        for place, (block, ring) in enumerate(zip(blocks, layout.rings, strict=True))
    )
    return States(last_offset, max_ts, applied, latest, rings)


def encode(states: States, layout: Layout) -> list[bytes]:
    """The packed value of every key; equal states give equal bytes."""
    rows = [
        b"" if latest is None else _LATEST.pack(latest.ts_us, latest.offset) + latest.row for latest in states.latest
    ]
    heads = np.empty(len(states), dtype=_head_dtype(len(layout.rings)))
    heads["format"] = FORMAT
    heads["last_offset"], heads["max_ts_us"], heads["applied"] = states.last_offset, states.max_ts_us, states.applied
    heads["row_bytes"] = [len(row) for row in rows]
    parts: list[list[bytes]] = [rows]
    lists: list[list[bytes]] = []
    for place, (tiles, ring) in enumerate(zip(states.rings, layout.rings, strict=True)):
        starts, ends = tiles.spans(len(states))
        heads["tiles"][:, place] = ends - starts
        parts.append(_cut(_packed(tiles, ring), slot_dtype(ring).itemsize, starts.tolist(), ends.tolist()))
        for field in ring.fields:
            column = tiles.fields[field]
            if isinstance(column, Records):
                packer = Packer(field, column)
                lists.append(list(map(packer.block, starts.tolist(), ends.tolist())))
    first = _cut(heads.tobytes(), heads.itemsize, range(len(rows)), range(1, len(rows) + 1))
    return list(map(b"".join, zip(first, *parts, *lists, strict=True)))


def _cut(block: bytes, size: int, starts: Iterable[int], ends: Iterable[int]) -> list[bytes]:
    return [block[start * size : end * size] for start, end in zip(starts, ends, strict=True)]


def _heads(values: list[bytes], layout: Layout) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """The headers; raises `StorageError` where one or a length does not fit."""
    kind = _head_dtype(len(layout.rings))
    block = b"".join([value[: kind.itemsize] for value in values])
    if len(block) != kind.itemsize * len(values):
        raise _foreign(-1)
    heads = np.frombuffer(block, dtype=kind)
    known = heads["format"] == FORMAT
    if not known.all():
        raise _foreign(int(heads["format"][~known][0]))
    sizes = np.array([slot_dtype(ring).itemsize for ring in layout.rings], dtype=np.int64)
    least = kind.itemsize + heads["row_bytes"] + heads["tiles"].astype(np.int64) @ sizes
    lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
    listed = any(field.kind in LISTED for ring in layout.rings for field in ring.fields)
    if (lengths < least).any() or (not listed and (lengths > least).any()):
        raise _foreign(FORMAT)
    return heads


def _lists(
    values: list[bytes], at: list[int], tiles: list[list[int]], layout: Layout
) -> list[dict[Field, list[Records]]]:
    """By ring and field, the lists of each stored key."""
    found = [{field: list[Records]() for field in ring.fields if field.kind in LISTED} for ring in layout.rings]
    if not any(found):
        return found
    for value, begin, here in zip(values, at, tiles, strict=True):
        end = begin
        for count, fields in zip(here, found, strict=True):
            for field, parts in fields.items():
                try:
                    records, end = record_codec.unpack(field, value, end, count)
                except ValueError:
                    raise _foreign(FORMAT) from None
                parts.append(records)
        if end != len(value):
            raise _foreign(FORMAT)
    return found


@cache
def _head_dtype(rings: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("format", "|u1"),
            ("last_offset", ">i8"),
            ("max_ts_us", "<i8"),
            ("applied", "<i8"),
            ("row_bytes", "<u4"),
            ("tiles", "<u4", (rings,)),
        ]
    )


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


def _unpacked(block: bytes, ring: Ring, counts: Int64s, lists: dict[Field, list[Records]]) -> Tiles:
    slots = np.frombuffer(block, dtype=slot_dtype(ring))
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
