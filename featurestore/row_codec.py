"""One row of plain features as bytes: a bitmap of nulls, then each value that is there; nulls and text exact."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..runtime.errors import StorageError

_FIXED = {"int64": struct.Struct("<q"), "float64": struct.Struct("<d"), "timestamp": struct.Struct("<q")}
_LENGTH = struct.Struct("<I")


def pack_row(values: Sequence[object], dtypes: Sequence[str]) -> bytes:
    """Values in the order of their types; timestamps as int64 microseconds, None for null."""
    nulls = 0
    parts = [b""]
    for place, (value, dtype) in enumerate(zip(values, dtypes, strict=True)):
        if value is None:
            nulls |= 1 << place
        elif dtype == "string":
            text = str(value).encode()
            parts += (_LENGTH.pack(len(text)), text)
        elif dtype == "bool":
            parts.append(b"\x01" if value else b"\x00")
        else:
            parts.append(_FIXED[dtype].pack(value))
    parts[0] = nulls.to_bytes((len(dtypes) + 7) // 8, "little")
    return b"".join(parts)


def unpack_row(packed: bytes | memoryview, dtypes: Sequence[str]) -> list[object]:
    """The values that `pack_row` was given; raises `StorageError` when the bytes do not fit the types."""
    try:
        return _unpacked(packed, dtypes)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise StorageError("a stored row does not fit its feature set's schema; ingest the set again") from error


def _unpacked(packed: bytes | memoryview, dtypes: Sequence[str]) -> list[object]:
    at = (len(dtypes) + 7) // 8
    nulls = int.from_bytes(packed[:at], "little")
    values: list[object] = []
    for place, dtype in enumerate(dtypes):
        if nulls >> place & 1:
            values.append(None)
        elif dtype == "string":
            (length,) = _LENGTH.unpack_from(packed, at)
            at += 4
            values.append(bytes(packed[at : at + length]).decode())
            at += length
        elif dtype == "bool":
            values.append(packed[at] == 1)
            at += 1
        else:
            values.append(_FIXED[dtype].unpack_from(packed, at)[0])
            at += 8
    return values
