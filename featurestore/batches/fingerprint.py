"""The fingerprint of rows: what tells one batch from another when nothing but its content can."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import polars as pl


class Fingerprint:
    """A hash over frames of one schema: equal rows in equal order give equal hashes, however they are cut."""

    def __init__(self) -> None:
        self._streams: dict[str, hashlib.blake2b] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Takes the next rows in."""
        for column in frame.iter_columns():
            for name, data in _parts(column, f"{column.name}:{column.dtype}"):
                self._streams.setdefault(name, hashlib.blake2b(digest_size=16)).update(data)

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        told = "\n".join(f"{name}:{stream.hexdigest()}" for name, stream in self._streams.items())
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _parts(column: pl.Series, name: str) -> Iterator[tuple[str, bytes | memoryview]]:
    # What lies beneath a null is arbitrary, so nulls go in by themselves and the values with zeros in their place.
    yield f"{name}:null", _bytes(column.is_null())
    if column.dtype == pl.String:
        yield f"{name}:size", _bytes(column.str.len_bytes().fill_null(0))
        yield f"{name}:text", "".join(column.drop_nulls().to_list()).encode()
    elif isinstance(column.dtype, pl.List | pl.Array):
        lists = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
        yield f"{name}:size", _bytes(lists.list.len().fill_null(0))
        yield from _parts(lists.explode(), f"{name}[]")
    else:
        plain = column.cast(pl.UInt8) if column.dtype == pl.Boolean else column.to_physical()
        yield f"{name}:value", _bytes(plain.fill_null(strategy="zero") if plain.null_count() else plain)


def _bytes(column: pl.Series) -> memoryview:
    return np.ascontiguousarray(column.to_numpy()).view(np.uint8).data
