"""Events that came as rows of a model's features: a thousand of them need no thousand bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..flows.event import Batch, Body, Event
from ..flows.ports import Floats


class _Body:
    """The row by name, NaN as None: made when somebody looks; from then on it is the event's attribute."""

    def __get__(self, event: RowEvent, owner: type) -> Body:
        names, row = event.came
        # A number that is not itself is NaN.
        made: Body = {name: value if value == value else None for name, value in zip(names, row.tolist(), strict=True)}
        event.body = made
        return made


class RowEvent(Event):
    """An event of these features; `came` is what it came with, whatever steps make of it."""

    if not TYPE_CHECKING:
        body = _Body()

    def __init__(self, names: tuple[str, ...], row: Floats, id: str) -> None:  # noqa: A002 - as in `Event`
        self.came = (names, row)
        self.id = id


def row_batch(rows: Floats, names: Sequence[str], request_id: str, *, is_first: bool) -> Batch:
    """A batch of rows x `names`; with `is_first` they are what the model is given, for no step comes before it."""
    given = tuple(names)
    many = len(rows) > 1
    events: list[Event] = [
        RowEvent(given, row, f"{request_id}-{place}" if many else request_id) for place, row in enumerate(rows)
    ]
    batch = Batch(events)
    if is_first:
        batch.rows = rows
        for event, row in zip(events, rows, strict=True):
            event.names, event.row = given, row
    return batch
