"""Rows as bytes: whatever a column may hold comes back, one row at a time or many at once."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagleray.featurestore.definitions.schema import polars_type
from eagleray.featurestore.state.row_codec import pack_row, pack_rows, row_dtype, unpack_row
from eagleray.runtime.errors import InputError, StorageError

DTYPES = (
    "float64",
    "float32",
    "int64",
    "int32",
    "bool",
    "string",
    "timestamp",
    "list[float64]",
    "list[int64]",
    "list[string]",
    "list[bool]",
    "list[timestamp]",
    "vector[3]",
)
ints = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
OF = {
    "float64": st.floats(),
    "float32": st.floats(width=32),
    "int64": ints,
    "int32": st.integers(-(2**31), 2**31 - 1),
    "bool": st.booleans(),
    "string": texts,
    "timestamp": ints,
    "list[float64]": st.lists(st.none() | st.floats(allow_nan=False), max_size=9),
    "list[int64]": st.lists(st.none() | ints, max_size=9),
    "list[string]": st.lists(st.none() | texts, max_size=9),
    "list[bool]": st.lists(st.none() | st.booleans(), max_size=9),
    "list[timestamp]": st.lists(st.none() | ints, max_size=9),
    "vector[3]": st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3),
}
tables = st.lists(st.sampled_from(DTYPES), min_size=1, max_size=12).flatmap(
    lambda dtypes: st.tuples(
        st.just(tuple(dtypes)),
        st.lists(st.tuples(*(st.none() | OF[dtype] for dtype in dtypes)), min_size=1, max_size=4),
    )
)


def same(first: object, second: object) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isnan(first) == math.isnan(second) and (math.isnan(first) or first.hex() == second.hex())
    return first == second and type(first) is type(second)


@settings(deadline=None)
@given(tables)
def test_what_was_packed_comes_back(table: tuple[tuple[str, ...], list[tuple[object, ...]]]) -> None:
    dtypes, rows = table
    packed = [pack_row(row, dtypes) for row in rows]
    for row, one in zip(rows, packed, strict=True):
        assert all(map(same, unpack_row(one, dtypes), row))
    # A frame holds times as such; here they are whole numbers already.
    plain: dict[str, pl.DataType] = {"timestamp": pl.Int64(), "list[timestamp]": pl.List(pl.Int64)}
    types = [plain.get(dtype) or polars_type(dtype) for dtype in dtypes]
    columns = [pl.Series(f"c{at}", [row[at] for row in rows], dtype=kind) for at, kind in enumerate(types)]
    assert pack_rows(pl.DataFrame(columns), dtypes) == packed


def test_every_slot_has_its_place_whatever_is_null() -> None:
    dtypes = ("string", "float64", "vector[2]")
    kind = row_dtype(dtypes)
    full = np.frombuffer(pack_row(["long text", 1.5, [1.0, 2.0]], dtypes)[: kind.itemsize], dtype=kind)
    bare = np.frombuffer(pack_row([None, 2.5, None], dtypes), dtype=kind)
    assert (full["f1"][0], bare["f1"][0], full["f0"][0]) == (1.5, 2.5, len("long text"))
    assert (full["nulls"][0, 0], bare["nulls"][0, 0]) == (0, 0b101)


@pytest.mark.parametrize("spoilt", [b"", b"\x00" * 12, pack_row(["x", 1.0], ("string", "float64")) + b"!"])
def test_foreign_bytes_are_named(spoilt: bytes) -> None:
    with pytest.raises(StorageError, match="does not fit its feature set"):
        unpack_row(spoilt, ("string", "float64"))


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match=r"vector\[3\] must have 3 components"):
        pack_row([[1.0, 2.0]], ("vector[3]",))
