"""Hints as parser: JSON, command line, results, schemas, and what a wrong value is told."""

from __future__ import annotations

import json
import timeit
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel

from eagleray.functions.calls.pydantic_signature import Signature
from eagleray.runtime.errors import DefinitionError, InputError


@dataclass
class Point:
    x: float
    y: float = 0.0


class Card(BaseModel):
    number: str
    limit: int = 100


def dot(x: list[float], scale: float = 1.0) -> float:
    return sum(x) * scale


def mixed(
    name: str, /, day: date, *, card: Card, at: Point | None = None, kind: Literal["a", "b"] = "a", flag: bool = False
) -> dict[str, Any]:
    return {"name": name, "day": day, "card": card, "at": at}


def framed(frame: pl.DataFrame, other: pd.DataFrame | None = None) -> pl.DataFrame:
    return frame


def tables(table: pa.Table, array: np.ndarray, series: pl.Series) -> np.ndarray:
    return array


def anything(a, b=2, *rest: int, **more: float):
    return a, b, rest, more


def test_json_becomes_typed_arguments() -> None:
    assert Signature.of(dot).parse_json(b'{"x": [1, 2.5]}') == ((), {"x": [1.0, 2.5]})
    args, kwargs = Signature.of(mixed).parse(
        {"name": "n", "day": "2026-01-02", "card": {"number": "7"}, "at": {"x": 1}, "kind": "b"}
    )
    assert args == ("n",)
    assert kwargs == {"day": date(2026, 1, 2), "card": Card(number="7"), "at": Point(1.0), "kind": "b"}
    assert mixed(*args, **{k: v for k, v in kwargs.items() if k != "kind"})["name"] == "n"


def test_a_command_line_becomes_typed_arguments() -> None:
    flags = {"name": ["12"], "day": ["2026-01-02"], "card": ['{"number": "7"}'], "flag": ["true"]}
    assert Signature.of(mixed).parse_texts(flags) == (
        ("12",),
        {"day": date(2026, 1, 2), "card": Card(number="7"), "flag": True},
    )
    assert Signature.of(dot).parse_texts({"x": ["1", "2"], "scale": ["3"]})[1] == {"x": [1, 2], "scale": 3}
    assert Signature.of(dot).parse_texts({"x": ["[1, 2]"]})[1] == {"x": [1, 2]}


def test_stars() -> None:
    signature = Signature.of(anything)
    args, kwargs = signature.parse({"a": 1, "rest": [5, 6], "b": 3, "z": "1.5"})
    assert anything(*args, **kwargs) == (1, 3, (5, 6), {"z": 1.5})
    assert anything(*signature.parse({"a": 1})[0], **signature.parse({"a": 1})[1]) == (1, 2, (), {})


@pytest.mark.parametrize(
    "given", [[{"a": 1}, {"a": 2}], {"a": [1, 2]}, pa.table({"a": [1, 2]}), pl.DataFrame({"a": [1, 2]})]
)
def test_frames_come_as_rows_columns_or_arrow(given: Any) -> None:
    _, kwargs = Signature.of(framed).parse({"frame": given, "other": given})
    assert kwargs["frame"].equals(pl.DataFrame({"a": [1, 2]}))
    assert kwargs["other"].equals(pd.DataFrame({"a": [1, 2]}))


def test_arrays_and_tables() -> None:
    _, kwargs = Signature.of(tables).parse({"table": [{"a": 1}], "array": [[1, 2], [3, 4]], "series": [1, 2]})
    assert kwargs["table"].equals(pa.table({"a": [1]}))
    assert kwargs["array"].tolist() == [[1, 2], [3, 4]]
    assert kwargs["series"].to_list() == [1, 2]
    with pytest.raises(InputError, match=r"tables: array is \[\[1\], \[2, 3\]\]"):
        Signature.of(tables).parse({"table": [], "array": [[1], [2, 3]], "series": []})


def test_results_become_json() -> None:
    assert json.loads(Signature.of(framed).dump_json(pl.DataFrame({"a": [1]}))) == [{"a": 1}]
    assert json.loads(Signature.of(tables).dump_json(np.array([[1.5]]))) == [[1.5]]
    out = Signature.of(mixed).dump_json({"day": date(2026, 1, 2), "card": Card(number="7"), "at": Point(1.0)})
    assert json.loads(out) == {"day": "2026-01-02", "card": {"number": "7", "limit": 100}, "at": {"x": 1.0, "y": 0.0}}
    assert json.loads(Signature.of(anything).dump_json([np.float64(2.5), pl.DataFrame({"a": [1]})])) == [
        2.5,
        [{"a": 1}],
    ]
    with pytest.raises(InputError, match="anything returned a object, which is no JSON"):
        Signature.of(anything).dump_json(object())


@pytest.mark.parametrize(
    ("fn", "values", "says"),
    [
        (dot, {"y": [1]}, r"dot (takes no 'y'; known: scale, x|needs 'x': give list)"),
        (dot, {"x": [1], "scael": 2}, r"dot takes no 'scael'; did you mean 'scale'\?"),
        (dot, {"x": [1, "a"]}, r"dot: x\.1 is 'a': input should be a valid number"),
        (dot, {}, r"dot needs 'x': give list"),
        (dot, [1], r"dot: give its arguments as one object, by name: x, scale"),
        (mixed, {"name": "n", "day": "x", "card": {"number": "1"}}, r"mixed: day is 'x': input should be a valid date"),
        (framed, {"frame": 3}, r"framed: frame is 3: give rows \(a list of objects\), columns"),
    ],
)
def test_a_wrong_value_is_named_with_its_cure(fn: Any, values: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Signature.of(fn).parse(values)


def test_a_body_that_is_no_json() -> None:
    with pytest.raises(InputError, match=r"dot: the body is no JSON \(.*\): send one object"):
        Signature.of(dot).parse_json(b"{x")


def test_a_hint_that_cannot_be_read_is_told_where_it_is_defined() -> None:
    def lost(x: Missing) -> int:  # type: ignore[name-defined] # noqa: F821
        return 1

    with pytest.raises(DefinitionError, match=r"lost: a hint cannot be read .*'Missing'.*import that name"):
        Signature.of(lost)


def test_schemas() -> None:
    signature = Signature.of(dot)
    assert signature.schema["required"] == ["x"]
    assert signature.schema["properties"]["x"] == {"items": {"type": "number"}, "title": "X", "type": "array"}
    assert signature.result_schema == {"type": "number"}
    assert Signature.of(framed).schema["properties"]["frame"]["type"] == "array"


def test_parsing_costs_microseconds() -> None:
    signature, body = Signature.of(dot), json.dumps({"x": [0.5] * 20}).encode()
    best = min(timeit.repeat(lambda: signature.parse_json(body), number=2_000, repeat=5)) / 2_000
    assert best < 20e-6
