"""What a command prints: a table, one thing's fields, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence


def show_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str) -> None:
    """A table for people (`empty` where there is no row), or a JSON list."""
    if as_json:
        show_json(rows)
    elif not rows:
        print(empty)
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(*rows[0], box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(_text(value) for value in row.values()))
        # A pipe has no width: there a line is never folded.
        Console(width=None if sys.stdout.isatty() else 10_000, markup=False, highlight=False).print(table)


def show_one(fields: Mapping[str, object], *, as_json: bool) -> None:
    """A line a field, or a JSON object."""
    if as_json:
        show_json(fields)
        return
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            print(f"{name}:", *(f"  {key}: {one}" for key, one in value.items()), sep="\n")
        else:
            print(f"{name}: {_text(value)}")


def show_json(value: object) -> None:
    """JSON, indented; what JSON has no word for is written as its text."""
    print(json.dumps(value, indent=2, default=str))


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
