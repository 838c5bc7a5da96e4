"""Lists of records as bytes: how many each tile has, then column after column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..definitions.layout import Field
from .records import Flat, Records, concatenated

_REGISTERS = np.uint32(1 << 31)  # set in a count whose list holds registers, two bytes each


class Packer:
    """The lists of one field, ready to be cut into the blocks of single keys."""

    def __init__(self, field: Field, records: Records) -> None:
        self._field = field
        self._records = records
        self._bounds = records.bounds.tolist()

    def block(self, start: int, end: int) -> bytes:
        """The lists `start` .. `end` - 1."""
        first, last = self._bounds[start], self._bounds[end]
        counts = np.diff(self._records.ends[start:end], prepend=first).astype(np.uint32)
        columns = tuple(column[first:last] for column in self._records.columns)
        if self._field.kind == "distinct":
            registers = columns[0] >= 0
            firsts = np.minimum(np.cumsum(counts) - counts, max(len(registers) - 1, 0))
            flags = registers[firsts] & (counts > 0) if len(registers) else np.zeros(len(counts), dtype=bool)
            counts |= flags.astype(np.uint32) * _REGISTERS
            columns = (columns[0][~registers], columns[0][registers].astype("<u2"))
        elif self._field.kind == "bins":
            columns = (columns[0].astype("<i4"), columns[1])
        return counts.tobytes() + b"".join(_packed(column) for column in columns)


def unpack(field: Field, value: bytes, at: int, tiles: int) -> tuple[Records, int]:
    """The lists of that many tiles and where they end; raises `ValueError` on bytes that are none."""
    reader = _Reader(value, at)
    counts = reader.array("<u4", tiles)
    if field.kind == "distinct":
        flags = counts >= _REGISTERS
        sizes = (counts & ~_REGISTERS).astype(np.int64)
        mode = np.repeat(flags, sizes)
        codes = np.empty(len(mode), dtype=np.int64)
        codes[~mode] = reader.array("<i8", int(sizes[~flags].sum()))
        codes[mode] = reader.array("<u2", int(sizes[flags].sum()))
        return Records(np.cumsum(sizes), (codes,)), reader.at
    sizes = counts.astype(np.int64)
    total = int(sizes.sum())
    columns: Flat
    if field.kind == "bins":
        columns = (reader.array("<i4", total).astype(np.int64), reader.array("<i8", total))
    elif field.kind == "top":
        columns = (reader.column(field.dtype, total),)
    else:
        columns = (reader.array("<i8", total), reader.array("<i8", total), reader.column(field.dtype, total))
    return Records(np.cumsum(sizes), columns), reader.at


def nothing(field: Field) -> Records:
    """No list at all, with the columns of the field's kind."""
    return unpack(field, b"", 0, 0)[0]


def joined(field: Field, parts: list[Records]) -> Records:
    """The lists of all keys, one after the other."""
    return concatenated(parts) if parts else nothing(field)


class _Reader:
    def __init__(self, value: bytes, at: int) -> None:
        self._value = value
        self.at = at

    def array(self, kind: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self._value, dtype=kind, count=count, offset=self.at) if count else np.zeros(0, kind)
        self.at += found.nbytes
        return found

    def column(self, dtype: str, count: int) -> NDArray[Any]:
        if dtype != "string":
            return self.array("<f8" if dtype == "float64" else "<i8", count)
        texts = np.empty(count, dtype=object)
        for place, length in enumerate(self.array("<u4", count).tolist()):
            if self.at + length > len(self._value):
                raise ValueError("a text goes beyond the end")
            texts[place] = self._value[self.at : self.at + length].decode()
            self.at += length
        return texts


def _packed(column: NDArray[Any]) -> bytes:
    if column.dtype != object:
        return column.tobytes()
    texts = [text.encode() for text in column.tolist()]
    return np.array([len(text) for text in texts], dtype="<u4").tobytes() + b"".join(texts)
