"""Answers as rows of a table, for the forms that have rows: tensors and Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

Row = dict[str, Any]


def rows_of(answers: Sequence[Any]) -> list[Row]:
    """A row for each answer: what was dropped has none, what was flattened has one for each of its parts.

    An answer that is no object is the field "answer".
    """
    found: list[Row] = []
    for answer in answers:
        if type(answer) is dict:
            found.append(answer)
        elif type(answer) is list:
            found += rows_of(answer)
        elif answer is not None:
            found.append({"answer": answer})
    return found


def columns_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The rows by field; None where a row lacks one."""
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: [row.get(name) for row in rows] for name in names}


def even(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The columns, each of one type: where some rows have a list (one score a class), a number is a list of one."""
    return {name: _even(values) for name, values in columns.items()}


def _even(values: list[Any]) -> list[Any]:
    kinds = set(map(type, values))
    if list not in kinds or not kinds & {int, float}:
        return values
    return [[value] if isinstance(value, int | float) else value for value in values]
