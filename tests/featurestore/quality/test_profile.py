"""Spans, and columns out of frames; what every profile must do stands in test_profile_contract.py."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.quality.profile import Span, numeric_columns
from eagleray.runtime.errors import InputError


def test_spans_cover_each_other() -> None:
    assert Span(5, 9).cover(Span(1, 6)) == Span(1, 9)


def test_a_frame_gives_its_numbers() -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "n": [1, None], "flag": [True, False], "x": [0.5, None]})
    columns = numeric_columns(frame)
    assert list(columns) == ["n", "flag", "x"]
    np.testing.assert_array_equal(columns["n"], [1.0, np.nan])
    np.testing.assert_array_equal(columns["flag"], [1.0, 0.0])
    assert all(column.dtype == np.float64 for column in columns.values())
    assert list(numeric_columns(frame, ["x"])) == ["x"]


def test_a_frame_without_the_column_says_so() -> None:
    frame = pl.DataFrame({"id": ["a"], "n": [1]})
    with pytest.raises(InputError, match="no column 'm' to profile; the frame has id, n"):
        numeric_columns(frame, ["m"])
    with pytest.raises(InputError, match="cannot profile 'id': it holds String"):
        numeric_columns(frame, ["id"])
