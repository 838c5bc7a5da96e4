"""Stored values of many keys opened together, without a loop over their parts.

The header of a value and the slots of its plain features lie at the same bytes in every value of a feature
set version, so one numpy record array holds them for all keys; what varies in size follows (states.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter, lt
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import StorageError
from ..definitions.layout import LISTED, Layout
from .row_codec import has_tail, row_dtype
from .states import FORMAT, NEVER_US

_FORMAT_BYTE = bytes([FORMAT])
_NEWEST_BYTES = slice(9, 17)
_MANY = 2000


class Opener:
    """Opens the stored values of one layout."""

    def __init__(self, layout: Layout) -> None:
        plain = tuple(dtype for _, dtype in layout.plain)
        self.dtype = head_dtype(len(layout.rings), plain)
        self.size = self.dtype.itemsize
        self.places = _places(self.dtype)
        self.rings = len(layout.rings)
        self.tailed = any(map(has_tail, plain))
        self.listed = any(field.kind in LISTED for ring in layout.rings for field in ring.fields)
        self.head_of, self.body_of = itemgetter(slice(self.size)), itemgetter(slice(self.size, None))
        self._absent = _absent(self.dtype)

    def open(self, values: Sequence[bytes | None]) -> Opened:
        """The values, None for a key that is not stored; raises `StorageError` on foreign bytes."""
        known = cast("Sequence[bytes]", values)
        try:
            lengths = list(map(len, known))
        except TypeError:  # None has no length; looking for it first takes as long as this
            known = [self._absent if value is None else value for value in values]
            lengths = list(map(len, known))
        size, count = self.size, len(known)
        heads = lengths.count(size) == count  # numbers alone: every value is its head
        block = b"".join(known if heads else map(self.head_of, known))
        if len(block) != size * count or block[::size] != _FORMAT_BYTE * count:
            raise foreign()
        return Opened(self, block, known, lengths)


class Opened:
    """The values of n keys, absent ones looking empty, and `block`, their heads joined."""

    def __init__(self, opener: Opener, block: bytes, values: Sequence[bytes], lengths: list[int]) -> None:
        self.block = block
        self.values = values
        self._opener = opener
        self._lengths = lengths

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def head(self) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """One record a key."""
        return np.frombuffer(self.block, dtype=self._opener.dtype)

    def table(self, kind: str, at: int, columns: int) -> NDArray[Any]:
        """Neighbouring slots of one kind, from byte `at` of each head on: keys x columns, a view."""
        width = int(kind[-1])
        return np.ndarray((len(self), columns), kind, self.block, at, (self._opener.size, width))

    def tile_counts(self) -> NDArray[np.int64]:
        """Keys x rings: how many tiles each has."""
        counts: NDArray[np.int64] = self.head["tiles"].astype(np.int64)
        return counts

    def bodies(self, tile_bytes: NDArray[np.int64], *, spare: int) -> bytes:
        """What follows the heads, joined, and `spare` bytes of nothing; told how many of each value's are tiles.

        Raises `StorageError` where a value is shorter than its parts, or longer (but for lists at its end).
        """
        least = (tile_bytes + (self._tails() + self._opener.size)).tolist()
        if least != self._lengths and (not self._opener.listed or any(map(lt, self._lengths, least))):
            raise foreign()
        # A view costs more than the copy of a few bytes, and less than that of many.
        parts = self.values if sum(least) < _MANY * len(least) else [memoryview(value) for value in self.values]
        return b"".join([*map(self._opener.body_of, parts), bytes(spare)])

    def tile_begins(self) -> NDArray[np.int64]:
        """Where in the bodies the tiles of each value begin."""
        sizes = np.array(self._lengths, dtype=np.int64) - self._opener.size
        return sizes.cumsum() - sizes + self._tails()

    def _tails(self) -> NDArray[np.int64] | int:
        """The bytes of text and lists between each head and its tiles."""
        if not self._opener.tailed:
            return 0
        return self.head["row_bytes"] - np.int64(self._opener.size - self._opener.places["ts_us"])

    @cached_property
    def nulls(self) -> NDArray[np.bool_] | None:
        """Keys x plain features, True where there is no value; None where nothing is null."""
        first, count = self._opener.places["nulls"], self._opener.dtype["row"]["nulls"].shape[0]
        none = bytes(len(self))
        if all(self.block[at :: self._opener.size] == none for at in range(first, first + count)):
            return None
        bits = self.table("|u1", first, count)
        nulls: NDArray[np.bool_] = np.unpackbits(bits, axis=1, bitorder="little").view(bool)
        return nulls


def head_dtype(rings: int, plain: Sequence[str]) -> np.dtype[np.void]:
    """What begins every value: its header, and the moment and slots of its latest row where it has plain features."""
    fields: list[tuple[str, object] | tuple[str, object, tuple[int]]] = [
        ("format", "|u1"),
        ("last_offset", ">i8"),
        ("max_ts_us", "<i8"),
        ("applied", "<i8"),
        ("row_bytes", "<u4"),
        ("tiles", "<u4", (rings,)),
    ]
    if plain:
        fields += [("ts_us", "<i8"), ("offset", "<i8"), ("row", row_dtype(tuple(plain)))]
    return np.dtype(fields)


def newest_us(values: Sequence[bytes]) -> NDArray[np.int64]:
    """The time of each value's newest event."""
    return np.frombuffer(b"".join([value[_NEWEST_BYTES] for value in values]), dtype="<i8")


def foreign() -> StorageError:
    """The error of a value that no feature set of this version wrote."""
    return StorageError(
        "a stored value has an unknown form: another program wrote this key, or a newer eagleray did; "
        "ingest the feature set again under a new version"
    )


def _places(dtype: np.dtype[np.void]) -> dict[str, int]:
    """At which byte of the head each of its fields begins, those of the row included."""
    fields = dict(dtype.fields or {})
    places = {name: field[1] for name, field in fields.items()}
    if "row" in fields:
        places |= {name: places["row"] + field[1] for name, field in (fields["row"][0].fields or {}).items()}
    return places


def _absent(dtype: np.dtype[np.void]) -> bytes:
    head: NDArray[np.void] = np.zeros(1, dtype=dtype)
    head["format"], head["last_offset"], head["max_ts_us"] = FORMAT, -1, NEVER_US
    if "row" in (dtype.names or ()):
        head["ts_us"], head["offset"] = NEVER_US, -1
        head["row"]["nulls"] = 0xFF
        head["row_bytes"] = dtype.itemsize - dtype.fields["ts_us"][1] if dtype.fields else 0
    return head.tobytes()


def straight(places: list[int]) -> slice | list[int]:
    """The places as a slice where they follow one another: numpy takes it faster."""
    run = slice(places[0], places[0] + len(places))
    return run if places == list(range(run.start, run.stop)) else places
