"""State merged over ranges of entries: each column is prepared once, then any range costs the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..definitions.layout import Field
from . import reductions
from .extremes import Extremes
from .fields import Column, Fields, Int64s, identity
from .fixed_point import Fixed, RunningSums
from .records import Records

Merge = Callable[[Int64s, Int64s], Column]


class Ranges:
    """Columns of equal length; entries stand in the order of (ts, offset) within what a range may cover."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._prepared: dict[Field, Merge] = {}

    def over(self, wanted: Iterable[Field], starts: Int64s, ends: Int64s) -> dict[Field, Column]:
        """Merges the entries of [start, end) for each pair; empty ranges give the empty state, ranges may overlap."""
        return {field: self.prepare(field)(starts, ends) for field in wanted}

    def prepare(self, field: Field) -> Merge:
        """How the field is merged over ranges; several threads may ask, those that are first do the same work."""
        if field not in self._prepared:
            self._prepared[field] = _prepared(field, self._fields[field])
        return self._prepared[field]


def _prepared(field: Field, column: Column) -> Merge:
    if isinstance(column, Records):
        return lambda starts, ends: reductions.over_ranges(field, column, starts, ends)
    if isinstance(column, Fixed):
        return RunningSums(column).between
    if field.kind in ("min", "max"):
        return Extremes(column, np.minimum if field.kind == "min" else np.maximum, identity(field)).over
    if column.all():  # counts of one: a range holds as many as it is long
        return lambda starts, ends: ends - starts
    running = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(column)])
    return lambda starts, ends: running[ends] - running[starts]
