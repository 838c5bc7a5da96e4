"""One row of plain features as bytes: nulls, then a slot of fixed size a column, then what has no fixed size.

A row is a bitmap of nulls; the slots (a number or time in its own size, 1 byte a bool, 4 a component of a vector, and
for text and lists the 4-byte length of their tail; zeros where null); and the tails, in the columns' order. So
every column of every row lies at the same place, and numbers of many rows decode as one array.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...runtime.errors import InputError, StorageError

# As numpy and as struct name them.
_SLOTS = {
    "int64": ("<i8", "q"),
    "int32": ("<i4", "i"),
    "float64": ("<f8", "d"),
    "float32": ("<f4", "f"),
    "timestamp": ("<i8", "q"),
    "bool": ("|u1", "?"),
}
_TAIL = ("<u4", "I")
_VECTOR = re.compile(r"vector\[(\d+)\]")
_COUNT = struct.Struct("<I")


def has_tail(dtype: str) -> bool:
    """Whether values of the type differ in size: text and lists."""
    return dtype == "string" or dtype.startswith("list[")


def vector_size(dtype: str) -> int | None:
    """How many components a `vector[N]` has; None for any other type."""
    found = _VECTOR.fullmatch(dtype)
    return int(found[1]) if found else None


@cache
def row_dtype(dtypes: tuple[str, ...]) -> np.dtype[np.void]:
    """The fixed part of a row as a packed record: `nulls` (bytes of the bitmap), then f0, f1, ..."""
    slots: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [("nulls", "|u1", (_bitmap_bytes(len(dtypes)),))]
    for place, dtype in enumerate(dtypes):
        size = vector_size(dtype)
        if size is None:
            slots.append((f"f{place}", _slot(dtype)[0]))
        else:
            slots.append((f"f{place}", "<f4", (size,)))
    return np.dtype(slots)


def pack_row(values: Sequence[object], dtypes: Sequence[str]) -> bytes:
    """Values in the order of their types; timestamps as int64 microseconds, None for null."""
    known = tuple(dtypes)
    slots = _row_struct(known)
    bitmap = _bitmap_bytes(len(known))
    if not _odd(known) and None not in values:
        return slots.pack(bytes(bitmap), *values)
    nulls = 0
    fixed: list[object] = []
    tails: list[bytes] = []
    for place, (value, dtype) in enumerate(zip(values, known, strict=True)):
        size = vector_size(dtype)
        if value is None:
            nulls |= 1 << place
            fixed.append(0 if size is None else bytes(4 * size))
        elif has_tail(dtype):
            tails.append(pack_tail(value, dtype))
            fixed.append(len(tails[-1]))
        elif size is not None:
            fixed.append(_vector(value, size).tobytes())
        else:
            fixed.append(value)
    return b"".join([slots.pack(nulls.to_bytes(bitmap, "little"), *fixed), *tails])


def pack_rows(frame: pl.DataFrame, dtypes: Sequence[str]) -> list[bytes]:
    """`pack_row` of every row of a frame with these columns, all at once."""
    slots, tails = row_slots(frame.get_columns(), dtypes)
    return cut(slots.tobytes(), slots.dtype.itemsize, tails)


def row_slots(columns: Sequence[pl.Series], dtypes: Sequence[str]) -> tuple[NDArray[np.void], list[list[bytes]]]:
    """The fixed parts of the rows that columns make, and the tails, a list a column that has them."""
    slots = np.zeros(len(columns[0]), dtype=row_dtype(tuple(dtypes)))
    tails: list[list[bytes]] = []
    for place, (column, dtype) in enumerate(zip(columns, dtypes, strict=True)):
        if column.null_count():
            slots["nulls"][:, place >> 3] |= column.is_null().to_numpy().astype(np.uint8) << (place & 7)
        if has_tail(dtype):
            whole = column.cast(pl.List(pl.Int64)) if dtype == "list[timestamp]" else column
            packed = [b"" if value is None else pack_tail(value, dtype) for value in whole.to_list()]
            slots[f"f{place}"] = np.fromiter(map(len, packed), dtype=np.uint32, count=len(packed))
            tails.append(packed)
        elif (size := vector_size(dtype)) is not None:
            there = column.is_not_null().to_numpy()
            vectors = [_vector(value, size) for value in column.drop_nulls().to_list()]
            slots[f"f{place}"][there] = np.array(vectors, dtype="<f4").reshape(len(vectors), size)
        else:
            slots[f"f{place}"] = _numbers(column)
    return slots, tails


def cut(block: bytes, size: int, tails: Sequence[Sequence[bytes]]) -> list[bytes]:
    """A block of records as one bytes each, with its tails behind it."""
    records = [block[at : at + size] for at in range(0, len(block), size)]
    return [b"".join(parts) for parts in zip(records, *tails, strict=True)] if tails else records


def unpack_row(packed: bytes | memoryview, dtypes: Sequence[str]) -> list[object]:
    """The values that `pack_row` was given; raises `StorageError` when the bytes do not fit the types."""
    try:
        return _unpacked(bytes(packed), tuple(dtypes))
    except (struct.error, IndexError, ValueError) as error:
        raise StorageError("a stored row does not fit its feature set's schema; ingest the set again") from error


def pack_tail(value: object, dtype: str) -> bytes:
    """Text or a list as bytes; a list may hold nulls."""
    if dtype == "string":
        return str(value).encode()
    if not isinstance(value, Sequence):
        raise StorageError(f"a value of type {dtype} must be a list, got {value!r}")
    nulls = sum(1 << place for place, item in enumerate(value) if item is None)
    head = _COUNT.pack(len(value)) + nulls.to_bytes(_bitmap_bytes(len(value)), "little")
    items = _SLOTS.get(dtype[5:-1])
    if items is not None:
        return head + struct.pack(f"<{len(value)}{items[1]}", *(0 if item is None else item for item in value))
    texts = [b"" if item is None else str(item).encode() for item in value]
    return b"".join([head, struct.pack(f"<{len(texts)}I", *map(len, texts)), *texts])


def unpack_tail(tail: bytes, dtype: str) -> object:
    """The value that `pack_tail` was given."""
    if dtype == "string":
        return tail.decode()
    (count,) = _COUNT.unpack_from(tail)
    at = _COUNT.size + _bitmap_bytes(count)
    nulls = int.from_bytes(tail[_COUNT.size : at], "little")
    items: list[object]
    slot = _SLOTS.get(dtype[5:-1])
    if slot is not None:
        items = list(struct.unpack_from(f"<{count}{slot[1]}", tail, at))
    else:
        items = []
        lengths = struct.unpack_from(f"<{count}I", tail, at)
        at += 4 * count
        for length in lengths:
            items.append(tail[at : at + length].decode())
            at += length
    return [None if nulls >> place & 1 else item for place, item in enumerate(items)] if nulls else items


def _unpacked(packed: bytes, dtypes: tuple[str, ...]) -> list[object]:
    slots = _row_struct(dtypes)
    bitmap, *fixed = slots.unpack_from(packed)
    nulls = int.from_bytes(bitmap, "little")
    at = slots.size
    values: list[object] = []
    for place, (slot, dtype) in enumerate(zip(fixed, dtypes, strict=True)):
        if nulls >> place & 1:
            values.append(None)
        elif has_tail(dtype):
            values.append(unpack_tail(packed[at : at + slot], dtype))
            at += slot
        elif isinstance(slot, bytes):
            values.append(np.frombuffer(slot, dtype="<f4").tolist())
        else:
            values.append(slot)
    if at != len(packed):
        raise ValueError("a row of another length")
    return values


@cache
def _row_struct(dtypes: tuple[str, ...]) -> struct.Struct:
    sizes = [vector_size(dtype) for dtype in dtypes]
    codes = [_slot(dtype)[1] if size is None else f"{4 * size}s" for dtype, size in zip(dtypes, sizes, strict=True)]
    return struct.Struct(f"<{_bitmap_bytes(len(dtypes))}s{''.join(codes)}")


@cache
def _odd(dtypes: tuple[str, ...]) -> bool:
    """Whether a row holds anything but numbers."""
    return any(dtype not in _SLOTS for dtype in dtypes)


def _slot(dtype: str) -> tuple[str, str]:
    return _TAIL if has_tail(dtype) else _SLOTS[dtype]


def _vector(value: object, size: int) -> NDArray[np.float32]:
    vector = np.asarray(value, dtype="<f4")
    if vector.shape != (size,):
        raise InputError(f"a vector[{size}] must have {size} components, got shape {vector.shape}")
    return vector


def _bitmap_bytes(bits: int) -> int:
    return (bits + 7) // 8


def _numbers(column: pl.Series) -> NDArray[np.generic]:
    if isinstance(column.dtype, pl.Datetime):
        # Microseconds since 1970 are how Polars keeps a time, so this is a view.
        return column.to_numpy().astype("datetime64[us]", copy=False).view(np.int64)
    return (column.fill_null(False if column.dtype == pl.Boolean else 0) if column.null_count() else column).to_numpy()
