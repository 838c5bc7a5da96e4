"""Codes of keys, however they are made, against a dictionary."""

from __future__ import annotations

import polars as pl
import pytest

from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.offline.key_codes import key_codes

CASES: dict[str, tuple[list[int | None], list[int | None]]] = {
    "neighbours": ([3, 5, 3, 9, -1, 40], [5, 3, 3, 7]),
    "all inside": ([3, 5, 3], [5, 3, 1, 9, 5]),
    "far apart": ([3, 2**62, -(2**63)], [3, -(2**63), 2**63 - 1]),
    "events beyond": ([2**63 - 1, -(2**63), 6], [5, 6, 7]),
    "null": ([3, None, 4], [None, 3, 5]),
    "no event": ([], [1, 2]),
    "no question": ([1, 2], []),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_code_for_the_same_key(case: str) -> None:
    events, asked = CASES[case]
    first, second = (pl.DataFrame({"k": pl.Series(keys, dtype=pl.Int64)}) for keys in (events, asked))
    codes, questions = (found.tolist() for found in key_codes(first, second, [Entity("k", "int64")]))
    known = {key: code for key, code in zip(asked, questions, strict=True) if key is not None}
    assert len(set(known.values())) == len(known)
    assert questions == [known.get(key, -1) if key is not None else -1 for key in asked]
    assert codes == [known.get(key, -1) if key is not None else -1 for key in events]
    assert min([0, *known.values()]) == 0


def test_keys_of_several_columns() -> None:
    events = pl.DataFrame({"a": ["x", "y", "x"], "b": [1, 1, 2]})
    asked = pl.DataFrame({"a": ["x", "z", "x"], "b": [2, 1, 2]})
    codes, questions = key_codes(events, asked, [Entity("a"), Entity("b", "int64")])
    assert questions[0] == questions[2] != questions[1]
    assert codes.tolist() == [-1, -1, questions[0]]
