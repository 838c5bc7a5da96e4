"""Every datatype of the protocol, as JSON and as bytes, against a codec that takes one value at a time."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagleray.functions.http.problem import Refused
from eagleray.graphs.serving.v2_tensors import DATATYPES, Tensor, checked

FORMATS = {
    "BOOL": "<?", "INT8": "<b", "INT16": "<h", "INT32": "<i", "INT64": "<q", "UINT8": "<B", "UINT16": "<H",
    "UINT32": "<I", "UINT64": "<Q", "FP16": "<e", "FP32": "<f", "FP64": "<d",
}  # fmt: skip
WIDTHS = {"FP16": 16, "BF16": 32, "FP32": 32, "FP64": 64}


def values_of(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text()
    if datatype in WIDTHS:
        most = {"FP16": 65504.0, "BF16": 3.38e38}.get(datatype)
        bounds = {} if most is None else {"min_value": -65504.0, "max_value": 65504.0} if datatype == "FP16" else {}
        return st.floats(width=WIDTHS[datatype], allow_nan=False, allow_infinity=False, **bounds).filter(  # type: ignore[arg-type]
            lambda value: most is None or abs(value) <= most
        )
    bits = int(datatype.lstrip("UINT"))
    return (
        st.integers(0, 2**bits - 1)
        if datatype.startswith("U")
        else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )


def packed(datatype: str, value: Any) -> bytes:
    """One value as the protocol lays it into memory."""
    if datatype == "BYTES":
        text: bytes = value.encode()
        return struct.pack("<I", len(text)) + text
    if datatype == "BF16":
        return struct.pack("<H", bf16(value))
    return struct.pack(FORMATS[datatype], value)


def bf16(value: float) -> int:
    """The nearest of the two BF16 around a finite float32, by exact arithmetic; a tie goes to the even one."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    below, above = bits >> 16, (bits >> 16) + 1

    def distance(half: int) -> Fraction:
        (found,) = struct.unpack("<f", struct.pack("<I", half << 16))
        # Beyond the largest of them stands, for rounding, the number that would come next.
        exact = Fraction(2) ** 128 * (1 if value > 0 else -1) if math.isinf(found) else Fraction(found)
        return abs(exact - Fraction(value))

    if distance(below) == distance(above):
        return int(below if below % 2 == 0 else above)
    return int(min((below, above), key=distance))


def unpacked(datatype: str, data: bytes) -> list[Any]:
    """The values of a tensor's bytes, one after the other."""
    found: list[Any] = []
    while data:
        if datatype == "BYTES":
            (size,) = struct.unpack_from("<I", data)
            found.append(data[4 : 4 + size])
            data = data[4 + size :]
        elif datatype == "BF16":
            found.append(struct.unpack("<f", b"\0\0" + data[:2])[0])
            data = data[2:]
        else:
            found.append(struct.unpack_from(FORMATS[datatype], data)[0])
            data = data[struct.calcsize(FORMATS[datatype]) :]
    return found


@st.composite
def given_tensors(draw: st.DrawFn) -> tuple[str, tuple[int, ...], list[Any]]:
    datatype = draw(st.sampled_from(DATATYPES))
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    values = draw(st.lists(values_of(datatype), min_size=prod(shape), max_size=prod(shape)))
    return datatype, shape, values


def nested(values: list[Any], shape: tuple[int, ...]) -> Any:
    if len(shape) == 1:
        return values
    step = prod(shape[1:])
    return [nested(values[place * step : (place + 1) * step], shape[1:]) for place in range(shape[0])]


@settings(deadline=None)
@given(given_tensors())
def test_json_and_bytes_are_what_one_value_at_a_time_makes(one: tuple[str, tuple[int, ...], list[Any]]) -> None:
    datatype, shape, values = one
    expected = b"".join(packed(datatype, value) for value in values)
    flat = Tensor.of_json("x", datatype, shape, data=orjson.loads(orjson.dumps(values)))
    deep = Tensor.of_json("x", datatype, shape, data=orjson.loads(orjson.dumps(nested(values, shape))))
    read = Tensor.of_bytes("x", datatype, shape, data=expected)
    assert flat.as_bytes() == deep.as_bytes() == read.as_bytes() == expected
    assert list(read.values) == unpacked(datatype, expected)
    told = orjson.loads(orjson.dumps(read.as_json(), option=orjson.OPT_SERIALIZE_NUMPY))
    assert b"".join(packed(datatype, value) for value in told) == expected


@settings(deadline=None)
@given(st.sampled_from(("FP16", "BF16", "FP32", "FP64")))
def test_what_is_no_number_travels_too(datatype: str) -> None:
    tensor = Tensor.of_json("x", datatype, (2,), data=[None, 1])
    again = Tensor.of_bytes("x", datatype, (2,), data=tensor.as_bytes())
    assert orjson.loads(orjson.dumps(again.as_json(), option=orjson.OPT_SERIALIZE_NUMPY)) == [None, 1.0]
    size = len(tensor.as_bytes()) // 2
    infinite = {2: b"\x00\x7c" if datatype == "FP16" else b"\x80\x7f", 4: struct.pack("<f", math.inf)}
    data = infinite.get(size, struct.pack("<d", math.inf))
    assert Tensor.of_bytes("x", datatype, (1,), data=data).as_bytes() == data


@settings(deadline=None)
@given(st.sampled_from([name for name in DATATYPES if name != "BYTES"]), st.integers(1, 5), st.integers(-9, 9))
def test_bytes_that_are_too_many_or_too_few_are_refused(datatype: str, count: int, off: int) -> None:
    data = b"\0" * (count * len(packed(datatype, 0)) + off) if count * len(packed(datatype, 0)) + off > 0 else b""
    if len(data) == count * len(packed(datatype, 0)):
        Tensor.of_bytes("x", datatype, (count,), data=data)
    else:
        with pytest.raises(Refused, match=f"'x' has {len(data)} bytes; {datatype}"):
            Tensor.of_bytes("x", datatype, (count,), data=data)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=5), min_size=1, max_size=4), st.data())
def test_lengths_that_lie_are_refused(texts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    assert Tensor.of_bytes("x", "BYTES", (len(texts),), data=whole).values == texts
    broken = bytearray(whole)
    broken[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    piece = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(Refused, match="four bytes"):
        Tensor.of_bytes("x", "BYTES", (len(texts),), data=piece)
    with suppress(Refused):  # another byte may lie in a text; whatever is read then has as many values and bytes
        found = Tensor.of_bytes("x", "BYTES", (len(texts),), data=bytes(broken))
        assert found.as_bytes() == bytes(broken)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "said"),
    [
        ("INT8", (1,), [128], "beyond INT8"),
        ("UINT64", (1,), [-1], "beyond UINT64"),
        ("FP16", (1,), [65520], "beyond FP16"),
        ("BF16", (1,), [3.4e38], "beyond BF16"),
        ("FP32", (1,), [1e39], "beyond FP32"),
        ("INT32", (2,), [1, 2.0], "value 1 is 2.0; INT32 takes whole numbers"),
        ("INT32", (1,), [True], "value 0 is True"),
        ("FP64", (2,), [0.5, "1"], "value 1 is '1'; FP64 takes numbers"),
        ("FP64", (1,), [True], "value 0 is True"),
        ("BOOL", (1,), [1], "BOOL takes true and false"),
        ("BYTES", (1,), [None], "BYTES takes strings"),
        ("FP32", (2,), [1.0], "has 1 values; shape [2] needs 2"),
        ("FP32", (2, 2), [[1, 2], [3]], "not of one length"),
        ("FP32", (2, 2), [[1, 2], 3], "not of one length"),
        ("FP32", (1,), {"a": 1}, "data is no list"),
    ],
)
def test_json_that_does_not_fit_is_refused(datatype: str, shape: tuple[int, ...], data: Any, said: str) -> None:
    with pytest.raises(Refused) as caught:
        Tensor.of_json("x", datatype, shape, data=data)
    assert said in caught.value.problem.detail
    assert caught.value.problem.status == 400


def test_what_is_no_tensor_is_refused() -> None:
    assert checked("x", "FP32", [2, 3]) == ("x", "FP32", (2, 3))
    for name, datatype, shape, said in (
        ("", "FP32", [1], "no name"),
        ("x", "FP31", [1], "no datatype 'FP31'; did you mean 'FP32'"),
        ("x", None, [1], "no datatype None"),
        ("x", "FP32", [-1], "[-1] is no shape"),
        ("x", "FP32", [1.0], "is no shape"),
        ("x", "FP32", [True], "is no shape"),
    ):
        with pytest.raises(Refused) as caught:
            checked(name, datatype, shape)
        assert said in str(caught.value)
    with pytest.raises(Refused, match="ask for it with binary_data"):
        Tensor("y", "BYTES", (1,), [b"\xff"]).as_json()
    assert np.array_equal(Tensor.of_bytes("x", "BOOL", (3,), data=b"\0\1\2").values, [False, True, True])
