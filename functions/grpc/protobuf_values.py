"""google.protobuf.Value and JSON's types, each as the other: faster than protobuf's own way by way of text."""

from __future__ import annotations

from typing import Any

_EXACT = 2**53  # up to here a double holds every whole number


def plain_value(value: Any) -> Any:
    """A Value as JSON's types; a whole number comes as an int."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= _EXACT else number
    if kind == "struct_value":
        return plain_struct(value.struct_value)
    if kind == "list_value":
        return [plain_value(one) for one in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def plain_struct(struct: Any) -> dict[str, Any]:
    """A Struct as a dict."""
    return {name: plain_value(one) for name, one in struct.fields.items()}


def fill_value(value: Any, plain: Any) -> None:
    """Sets a Value to what JSON gave."""
    if isinstance(plain, str):
        value.string_value = plain
    elif plain is None:
        value.null_value = 0
    elif isinstance(plain, bool):
        value.bool_value = plain
    elif isinstance(plain, int | float):
        value.number_value = plain
    elif isinstance(plain, list):
        value.list_value.SetInParent()
        values = value.list_value.values
        for one in plain:
            fill_value(values.add(), one)
    else:
        value.struct_value.SetInParent()
        fields = value.struct_value.fields
        for name, one in plain.items():
            fill_value(fields[name], one)
