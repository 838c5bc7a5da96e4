"""Tensors of the Open Inference Protocol V2: their datatypes, and their values as JSON and as bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...functions.http.problem import Problem, Refused
from ...runtime.errors import did_you_mean

Floats32 = NDArray[np.float32]
Values = NDArray[Any] | Sequence[Any]

# How an element lies in bytes; BF16 is the upper half of a float32.
STORED: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = (*STORED, "BYTES")
# The datatype of an array; numpy has none for BF16.
OF_DTYPE: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in STORED.items() if name != "BF16"}
_BOUNDS = {
    name: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for name, dtype in STORED.items() if "INT" in name
}
_NARROW_FLOATS = frozenset(("FP16", "BF16", "FP32"))  # JSON's numbers are rounded to these
_LENGTH = struct.Struct("<I")
_NUMBERS: frozenset[type] = frozenset((int, float, type(None)))
# What JSON may hold for a datatype, and what it is called.
_ACCEPTED: Mapping[str, tuple[frozenset[type], str]] = {
    **dict.fromkeys(STORED, (_NUMBERS, "numbers")),
    **dict.fromkeys(_BOUNDS, (frozenset((int,)), "whole numbers")),
    "BOOL": (frozenset((bool,)), "true and false"),
    "BYTES": (frozenset((str,)), "strings"),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """Values in a shape, row after row.

    `values` are flat: an array of the datatype (float32 for BF16) or a list of plain numbers that are of it exactly;
    for BYTES a list of str or bytes (`is_bytes`: that are no text). `columns` says what stands along the second axis,
    where that has names.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values
    columns: tuple[str, ...] = ()
    is_bytes: bool = False

    @classmethod
    def of_json(cls, name: str, datatype: str, shape: tuple[int, ...], *, data: Any) -> Tensor:
        """From a list, flat or nested; null is NaN in a tensor of floats. Refuses what does not fit (400)."""
        flat = _flat(name, data)
        count = prod(shape)
        if len(flat) != count:
            raise refused(f"input {name!r} has {len(flat)} values; shape {list(shape)} needs {count}")
        accepted, words = _ACCEPTED[datatype]
        kinds = set(map(type, flat))
        if not kinds <= accepted:
            place = next(place for place, value in enumerate(flat) if type(value) not in accepted)
            raise refused(f"input {name!r}: value {place} is {flat[place]!r}; {datatype} takes {words}")
        if datatype in _NARROW_FLOATS:
            return cls(name, datatype, shape, _array(name, datatype, flat))
        bounds = _BOUNDS.get(datatype)
        if bounds is not None and flat and not bounds[0] <= min(flat) <= max(flat) <= bounds[1]:
            raise refused(f"input {name!r} holds a number beyond {datatype}")
        if datatype == "FP64" and int in kinds:
            flat = [value if value is None else float(value) for value in flat]
        return cls(name, datatype, shape, flat)

    def array(self) -> NDArray[Any]:
        """The values as an array, flat; those of BYTES are objects."""
        if isinstance(self.values, np.ndarray):
            return self.values
        return np.array(self.values, object if self.datatype == "BYTES" else STORED[self.datatype])

    @classmethod
    def of_bytes(cls, name: str, datatype: str, shape: tuple[int, ...], *, data: bytes | memoryview) -> Tensor:
        """From elements as they lie in memory, little-endian. Refuses what does not fit (400)."""
        count = prod(shape)
        if datatype == "BYTES":
            return cls(name, datatype, shape, _texts(name, data, count))
        dtype = STORED[datatype]
        if len(data) != count * dtype.itemsize:
            needed = count * dtype.itemsize
            raise refused(f"input {name!r} has {len(data)} bytes; {datatype} {list(shape)} needs {needed}")
        stored: NDArray[Any] = np.frombuffer(data, dtype)
        if datatype == "BOOL":
            stored = stored.view(np.uint8) != 0  # any byte but 0 is true, and one that is not 1 no bool of numpy's
        return cls(name, datatype, shape, widened(stored) if datatype == "BF16" else stored)

    def as_json(self) -> Any:
        """The values as `orjson` with OPT_SERIALIZE_NUMPY writes them, flat; NaN is null.

        Refuses (422) BYTES that are no text.
        """
        if self.datatype != "BYTES":
            return self.values
        try:
            return [value if isinstance(value, str) else value.decode() for value in self.values]
        except UnicodeDecodeError:
            raise refused(f"output {self.name!r} is no text; ask for it with binary_data", status=422) from None

    def as_bytes(self) -> bytes:
        """The values as they lie in memory, little-endian; each of BYTES behind four bytes that tell its length."""
        if self.datatype != "BYTES":
            values = self.array()
            stored = narrowed(values) if self.datatype == "BF16" else values
            return stored.astype(STORED[self.datatype], copy=False).tobytes()
        plain = [value.encode() if isinstance(value, str) else value for value in self.values]
        return b"".join(chain.from_iterable((_LENGTH.pack(len(value)), value) for value in plain))


def checked(name: Any, datatype: Any, shape: Sequence[Any]) -> tuple[str, str, tuple[int, ...]]:
    """Name, datatype and shape of an input; refuses (400) what is none."""
    if not isinstance(name, str) or not name:
        raise refused("an input has no name")
    if datatype not in DATATYPES:
        raise refused(f"input {name!r}: no datatype {datatype!r}{did_you_mean(str(datatype), DATATYPES)}")
    for size in shape:
        if type(size) is not int or size < 0:
            raise refused(f"input {name!r}: {list(shape)} is no shape; give a list of sizes")
    return name, str(datatype), tuple(shape)


def widened(stored: NDArray[np.uint16]) -> Floats32:
    """BF16 as float32, exactly."""
    return (stored.astype(np.uint32) << 16).view(np.float32)


def narrowed(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Float32 as BF16, to the nearest, ties to even; a NaN stays one."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def refused(why: str, *, status: int = 400) -> Refused:
    """To be raised for a request that is wrong."""
    return Refused(Problem(status, why))


def _flat(name: str, data: Any) -> list[Any]:
    if type(data) is not list:
        raise refused(f"input {name!r}: data is no list")
    while data and type(data[0]) is list:
        if set(map(type, data)) != {list} or len(set(map(len, data))) != 1:
            raise refused(f"input {name!r}: the lists in data are not of one length")
        data = list(chain.from_iterable(data))
    found: list[Any] = data
    return found


def _array(name: str, datatype: str, flat: list[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        found = np.array(flat, STORED["FP32" if datatype == "BF16" else datatype])
    if datatype == "BF16":
        found = widened(narrowed(found))
    if np.isinf(found).any():  # JSON has no infinity: a number was too large
        raise refused(f"input {name!r} holds a number beyond {datatype}")
    return found


def _texts(name: str, data: bytes | memoryview, count: int) -> list[str | bytes]:
    whole, found, place = bytes(data), list[str | bytes](), 0
    size = len(whole)
    while place + 4 <= size:
        end = place + 4 + int.from_bytes(whole[place : place + 4], "little")
        if end > size:
            break
        found.append(whole[place + 4 : end])
        place = end
    if place != size or len(found) != count:
        raise refused(
            f"input {name!r}: its {size} bytes are not {count} values, each behind four bytes that tell its length"
        )
    return found
