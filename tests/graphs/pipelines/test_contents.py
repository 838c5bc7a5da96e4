"""Outputs by content: each kind comes back as it was, nobody else's pickle is ever loaded, nothing is half there."""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleray.graphs.pipelines.contents import Contents, content_hash, key_of
from eagleray.graphs.pipelines.encoding import decode, described, encode
from eagleray.runtime.errors import DefinitionError, InputError, NotFoundError, StorageError
from eagleray.runtime.settings import Settings

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)
FRAME = pl.DataFrame(
    {
        "a": [1, None],
        "t": ["x", "y"],
        "l": [[1], [2, 3]],
        "d": [datetime.date(2020, 1, 1), None],
        "at": [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), None],
        "s": [{"x": 1}, {"x": 2}],
    }
).with_columns(e=pl.Series(["p", "q"], dtype=pl.Enum(["p", "q"])), c=pl.Series(["p", "q"], dtype=pl.Categorical))
PANDAS = pd.DataFrame(
    {
        "x": [1.5, None],
        "s": ["a", None],
        "i": [1, 2],
        "t": pd.to_datetime(["2020-01-01", None]),
        "c": pd.Categorical(["a", "b"]),
    }
)


class Own:
    """Something that only a pickle can hold."""

    def __init__(self, x: int) -> None:
        self.x = x


@pytest.fixture(params=["home", "folder", "file://"])
def contents(request: pytest.FixtureRequest, tmp_path: Path) -> Contents:
    """In the home, in a folder that all nodes see, and below a URI."""
    offline = {"home": None, "folder": str(tmp_path / "lake"), "file://": (tmp_path / "lake").as_uri()}[request.param]
    return Contents(Settings(home=tmp_path / "home", offline_uri=offline))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "key"]


@given(PLAIN)
def test_plain_values_come_back_of_the_same_types(value: Any) -> None:
    kind, data = encode(value)
    assert repr(decode(kind, data)) == repr(value)
    assert content_hash(value) == content_hash(decode(kind, data)) or kind == "pickle"
    assert isinstance(described(value), str)


def test_each_kind_has_a_format_that_others_read(contents: Contents, tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]}, metadata={"k": "v"})
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    kept = {name: contents.put(one) for name, one in (("pl", FRAME), ("pd", PANDAS), ("pa", table), ("np", array))}
    assert {name: one.ref.partition(".")[2] for name, one in kept.items()} == {
        "pl": "polars", "pd": "pandas", "pa": "arrow", "np": "npy",
    }  # fmt: skip
    back = {name: contents.get(one.ref) for name, one in kept.items()}
    polars.testing.assert_frame_equal(back["pl"], FRAME, categorical_as_str=True)
    assert back["pl"].schema == FRAME.schema
    pd.testing.assert_frame_equal(back["pd"], PANDAS)
    assert back["pa"].equals(table, check_metadata=True)
    assert np.array_equal(back["np"], array)
    assert back["np"].dtype == np.float32
    assert kept["pl"].about == "polars.DataFrame 2 x 8"
    (place,) = [path for path in files(tmp_path) if path.name == kept["np"].ref]
    assert np.array_equal(np.load(place), array)


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"o": [{"a": 1}, [1]]}), pd.DataFrame({"a": [1]}, index=["x"]), pd.DataFrame({1: [1]}),
        np.array([1, "a"], dtype=object), (1, 2), {1: 2}, {"a": (1,)}, np.float64(1), FRAME["a"],
    ],
)  # fmt: skip
def test_what_a_format_would_change_goes_as_a_pickle(value: Any, contents: Contents) -> None:
    kept = contents.put(value)
    assert kept.ref.endswith(".pickle")
    assert repr(contents.get(kept.ref)) == repr(value)
    assert type(contents.get(kept.ref)) is type(value)


def test_equal_values_are_kept_once_and_lists_of_them_by_their_parts(contents: Contents, tmp_path: Path) -> None:
    first, second = contents.put({"a": 1}), contents.put({"a": 1})
    assert first == second
    chunked = pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})])
    assert contents.put(chunked) == contents.put(pa.table({"a": [1, 2]})), "in which chunks is no content"
    whole = contents.gather([first.ref, contents.put([2]).ref])
    assert contents.get(whole.ref) == [{"a": 1}, [2]]
    assert contents.has(whole.ref)
    assert len(files(tmp_path)) == 4
    assert not list(tmp_path.rglob("*.part"))
    next(tmp_path.rglob(first.ref)).unlink()
    assert not contents.has(whole.ref)
    with pytest.raises(NotFoundError, match=r"is gone from .*: run its step again"):
        contents.get(first.ref)


def test_the_key_is_the_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert len(key_of(home)) == 32
    assert key_of(home) == key_of(home)
    assert stat.S_IMODE((home / "pipelines" / "key").stat().st_mode) == 0o600
    assert key_of(tmp_path / "other") != key_of(home)


def test_a_foreign_pickle_is_never_loaded(tmp_path: Path) -> None:
    mine, lake = Settings(home=tmp_path / "home", offline_uri=str(tmp_path / "lake")), tmp_path / "lake"
    kept = Contents(mine).put(Own(3))
    assert Contents(mine).get(kept.ref).x == 3
    with pytest.raises(InputError, match=r"was not written by .*other"):
        Contents(Settings(home=tmp_path / "other", offline_uri=str(lake))).get(kept.ref)

    class Bad:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "loaded"),))

    (path,) = files(lake)
    honest = path.read_bytes()
    for data in (
        cloudpickle.dumps(Bad()),
        bytes(32) + cloudpickle.dumps(Bad()),
        honest[:32] + cloudpickle.dumps(Bad()),
        b"",
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match="its pickle is not loaded"):
            Contents(mine).get(kept.ref)
    assert not (tmp_path / "loaded").exists()
    assert Contents(mine).put(Own(3)).ref == kept.ref
    assert Contents(mine).get(kept.ref).x == 3, "to keep it again mends it"


def test_damage_is_noticed(contents: Contents, tmp_path: Path) -> None:
    kept = contents.put([1, 2, 3])
    path = next(tmp_path.rglob(kept.ref))
    path.write_bytes(b"[1, 2, 4]")
    with pytest.raises(StorageError, match="is damaged: delete it"):
        contents.get(kept.ref)


def test_what_cannot_be_kept_says_so(contents: Contents, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a generator cannot be kept .*: return plain data"):
        contents.put(one for one in [1])
    assert not files(tmp_path)
    with pytest.raises(DefinitionError, match="use s3://, gs://, hdfs:// or file://"):
        Contents(Settings(home=tmp_path, offline_uri="ftp://somewhere/lake"))


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    lake = tmp_path / "full"
    lake.write_text("a file where a folder is wanted")
    for uri in (str(lake), lake.as_uri()):
        with pytest.raises(StorageError, match="cannot write"):
            Contents(Settings(home=tmp_path / "home", offline_uri=uri)).put([1])
    assert not list(tmp_path.rglob("*.part"))
