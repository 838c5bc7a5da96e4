"""How a feature set is laid out: which state each ring of tiles keeps, and where every feature reads from.

Windows of one granularity share a ring, as long as their longest. A ring's state per tile is a set of
fields: `rows` (events), and per column `n` (values that are not null), `sum`, `min`, `max`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .aggregates import EVERY_ROW, Aggregate, AggregateFunction
from .windows import Window

FieldKind = Literal["rows", "n", "sum", "min", "max"]
# What a feature's function must find in a tile.
_NEEDS: dict[str, tuple[FieldKind, ...]] = {
    "count": ("n",),
    "sum": ("n", "sum"),
    "avg": ("n", "sum"),
    "min": ("n", "min"),
    "max": ("n", "max"),
}


@dataclass(frozen=True, slots=True, order=True)
class Field:
    """One piece of state; `integer` columns keep int64 extremes and whole sums."""

    column: str
    kind: FieldKind
    integer: bool


@dataclass(frozen=True, slots=True)
class Ring:
    """Tiles of one granularity, kept for `length_us`, the longest window that reads them."""

    granularity_us: int
    length_us: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class WindowedFeature:
    """A feature read from the tiles of one ring."""

    name: str
    column: str
    function: AggregateFunction
    window: Window
    ring: int
    integer: bool

    @property
    def dtype(self) -> str:
        """int64 for counts and for sums and extremes of integers; float64 otherwise."""
        whole = self.function == "count" or (self.integer and self.function != "avg")
        return "int64" if whole else "float64"


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything the engine needs to know of one feature set version."""

    rings: tuple[Ring, ...]
    windowed: tuple[WindowedFeature, ...]
    plain: tuple[tuple[str, str], ...]  # (column, type) of the latest-value features

    @property
    def aggregated_columns(self) -> tuple[str, ...]:
        """The columns whose values enter tiles."""
        return tuple(sorted({field.column for ring in self.rings for field in ring.fields} - {EVERY_ROW}))


def lay_out(aggregates: Sequence[Aggregate], columns: Mapping[str, str], plain: Sequence[tuple[str, str]]) -> Layout:
    """Compiles aggregates over typed columns (already checked) to a layout."""
    fields: dict[int, set[Field]] = {}
    lengths: dict[int, int] = {}
    for aggregate in aggregates:
        integer = aggregate.column == EVERY_ROW or columns[aggregate.column] in ("int64", "bool")
        for window in aggregate.parsed_windows():
            grain = window.granularity_us
            lengths[grain] = max(lengths.get(grain, 0), window.length_us)
            ring_fields = fields.setdefault(grain, {Field(EVERY_ROW, "rows", integer=True)})
            if aggregate.column == EVERY_ROW:
                continue
            for function in aggregate.functions:
                ring_fields.update(Field(aggregate.column, kind, integer) for kind in _NEEDS[function])
    grains = sorted(lengths)
    rings = tuple(Ring(grain, lengths[grain], tuple(sorted(fields[grain]))) for grain in grains)
    windowed = tuple(
        WindowedFeature(
            name=aggregate.feature_name(function, window.name),
            column=aggregate.column,
            function=function,
            window=window,
            ring=grains.index(window.granularity_us),
            integer=aggregate.column == EVERY_ROW or columns[aggregate.column] in ("int64", "bool"),
        )
        for aggregate in aggregates
        for function in aggregate.functions
        for window in aggregate.parsed_windows()
    )
    return Layout(rings=rings, windowed=windowed, plain=tuple(plain))
