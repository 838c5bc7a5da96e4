"""Messages of other programs: each value of its column's type, or a reason that names the column."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from eagleray.featurestore.sources.messages import row_of_fields, row_of_json
from eagleray.runtime.errors import InputError

SCHEMA = {
    "id": "int64", "x": "float64", "ok": "bool", "text": "string", "ts": "timestamp", "tags": "list[string]",
    "near": "vector[2]",
}  # fmt: skip
NOON_US = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1e6) + 7


def test_json_and_fields_give_the_same_row() -> None:
    wanted = {
        "id": -5, "x": 2.0, "ok": True, "text": "é", "ts": NOON_US, "tags": ["a", None], "near": [1.0, 0.5],
    }  # fmt: skip
    moment = "2026-03-02T13:00:00.000007+01:00"
    given = {"id": -5, "x": 2, "ok": True, "text": "é", "ts": moment, "tags": ["a", None], "near": [1, 0.5], "more": 1}
    message = json.dumps(given)
    assert row_of_json(message.encode(), SCHEMA) == wanted
    assert row_of_fields({b"payload": message.encode()}, SCHEMA) == wanted
    fields = {"id": "-5", "x": "2", "ok": "TRUE", "text": "é", "ts": moment, "tags": '["a", null]', "near": "[1, 0.5]"}
    assert row_of_fields({name.encode(): text.encode() for name, text in fields.items()}, SCHEMA) == wanted
    assert row_of_fields({b"id": b"1", b"ts": str(NOON_US).encode()}, SCHEMA)["ts"] == NOON_US


def test_what_is_missing_is_null() -> None:
    assert set(row_of_json(b"{}", SCHEMA).values()) == {None}
    assert row_of_fields({b"id": b"", b"text": b""}, SCHEMA) | {"text": None} == dict.fromkeys(SCHEMA)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\xff", "no JSON"),
        (b"[1]", "a JSON list where an object was expected"),
        (b'{"id": 1.5}', "'id' must be int64, got 1.5"),
        (b'{"id": true}', "'id' must be int64, got True"),
        (b'{"id": 9223372036854775808}', "'id' must be int64"),
        (b'{"x": "1"}', "'x' must be float64, got '1'"),
        (b'{"text": 7}', "'text' must be string, got 7"),
        (b'{"ts": "noon"}', "'ts' holds 'noon', not a time like"),
        (b'{"tags": ["a", 1]}', "'tags' must be string, got 1"),
        (None, "no JSON"),
    ],
)
def test_a_wrong_value_names_its_column(message: bytes | None, reason: str) -> None:
    with pytest.raises(InputError, match=reason.replace("[", r"\[")):
        row_of_json(message, SCHEMA)


def test_a_wrong_text_names_its_column() -> None:
    for column, text in (
        ("id", b"1.5"),
        ("x", b"much"),
        ("ok", b"yes"),
        ("ts", b"noon"),
        ("tags", b"a"),
        ("text", b"\xff"),
    ):
        with pytest.raises(InputError, match=f"column '{column}'"):
            row_of_fields({column.encode(): text, b"more": b""}, SCHEMA)
