"""Messages of other programs as rows: JSON objects, or fields of text, each value of the type that the schema says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from ...runtime.errors import InputError

_INT64 = range(-(2**63), 2**63)
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def row_of_json(message: bytes | str | None, schema: Mapping[str, str] | None) -> dict[str, object]:
    """The row of a JSON object; columns it lacks are null, others are left out. Raises `InputError`.

    Without a schema it is the object as it is.
    """
    try:
        found = json.loads(message or "")
    except ValueError as error:
        raise InputError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"a JSON {type(found).__name__} where an object was expected")
    if schema is None:
        return found
    return {column: value_of(found.get(column), dtype, column=column) for column, dtype in schema.items()}


def row_of_fields(fields: Mapping[bytes, bytes], schema: Mapping[str, str] | None) -> dict[str, object]:
    """The row of named texts, or of a single field that holds a JSON object. Raises `InputError`.

    Without a schema the texts stay texts.
    """
    if schema is None:
        return _untyped(fields)
    if len(fields) == 1 and next(iter(fields)).decode(errors="replace") not in schema:
        return row_of_json(next(iter(fields.values())), schema)
    row: dict[str, object] = {}
    for column, dtype in schema.items():
        raw = fields.get(column.encode())
        try:
            text = None if raw is None else raw.decode()
        except UnicodeDecodeError:
            raise InputError(f"column {column!r} is no text") from None
        row[column] = None if text is None or (text == "" and dtype != "string") else _parsed(text, dtype, column)
    return row


def _untyped(fields: Mapping[bytes, bytes]) -> dict[str, object]:
    (name, value), *others = fields.items()
    if not others and value.lstrip()[:1] == b"{":
        return row_of_json(value, None)
    try:
        return {name.decode(): value.decode() for name, value in fields.items()}
    except UnicodeDecodeError:
        raise InputError(f"field {name.decode(errors='replace')!r} or another one is no text") from None


def value_of(value: object, dtype: str, *, column: str) -> object:
    """A JSON value as one of the type; raises `InputError` that names the column."""
    if value is None:
        return None
    inner = _inner(dtype)
    if inner is not None and isinstance(value, list):
        return [value_of(one, inner, column=column) for one in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype in ("int64", "int32") and isinstance(value, int) and is_number and value in _INT64:
        return value
    if dtype in ("float64", "float32") and isinstance(value, int | float) and is_number:
        return float(value)
    if (dtype == "bool" and isinstance(value, bool)) or (dtype == "string" and isinstance(value, str)):
        return value
    if dtype == "timestamp" and isinstance(value, int) and is_number and value in _INT64:
        return value
    if dtype == "timestamp" and isinstance(value, str):
        return _moment_us(value, column)
    raise InputError(f"column {column!r} must be {dtype}, got {value!r}"[:500])


def _parsed(text: str, dtype: str, column: str) -> object:
    try:
        if dtype in ("int64", "int32"):
            return value_of(int(text), dtype, column=column)
        if dtype in ("float64", "float32"):
            return float(text)
        if dtype == "timestamp":
            return int(text) if text.lstrip("-").isdigit() else _moment_us(text, column)
        if _inner(dtype) is not None:
            return value_of(json.loads(text), dtype, column=column)
    except ValueError:
        raise InputError(f"column {column!r} must be {dtype}, got {text!r}"[:500]) from None
    if dtype == "bool":
        if text.lower() not in (*_TRUE, *_FALSE):
            raise InputError(f"column {column!r} must be bool (true or false), got {text!r}"[:500])
        return text.lower() in _TRUE
    return text


def _moment_us(text: str, column: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"column {column!r} holds {text!r}, not a time like 2026-01-31T12:00:00Z"[:500]) from None
    whole = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = whole - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _inner(dtype: str) -> str | None:
    """The type of a list's or vector's values, None for other types."""
    if dtype.startswith("vector["):
        return "float32"
    return dtype[5:-1] if dtype.startswith("list[") else None
