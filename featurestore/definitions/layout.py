"""How a feature set is laid out: which state each ring of tiles keeps, and where every feature reads from.

Windows of one granularity share a ring, as long as their longest. A ring's state per tile is a set of fields: `rows`
(events), and per column `n` (values that are not null), `sum`, `min` and so on. The newest values of a key need no
tiles: they lie in a ring of one tile, and a reader looks at their times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .aggregates import EVERY_ROW, Aggregate
from .calculation import Calculation, FieldKind
from .windows import Window

EVER_US = 2**62  # the granularity of the ring of one tile
# Larger floats would void exact sums (2**62), and exact sums of squares earlier.
LARGEST = 2.0**62
LARGEST_SQUARED = 2.0**40


@dataclass(frozen=True, slots=True, order=True)
class Field:
    """One piece of state of a column of `dtype`; `size` is how many values it keeps, 0 where that has no meaning."""

    column: str
    kind: FieldKind
    dtype: str
    size: int = 0

    @property
    def integer(self) -> bool:
        """Whole numbers: int64 extremes and whole sums."""
        return self.dtype != "float64"


SUMS = ("sum", "square_high", "square_low")  # 128-bit fixed point
LISTED = ("first", "recent", "distinct", "top", "bins")  # lists of records
ROWS = Field(EVERY_ROW, "rows", "int64")


@dataclass(frozen=True, slots=True)
class Ring:
    """Tiles of one granularity, kept for `length_us`, the longest window that reads them."""

    granularity_us: int
    length_us: int
    fields: tuple[Field, ...]

    @property
    def timeless(self) -> bool:
        """It has one tile a key, and records that know their time."""
        return self.granularity_us == EVER_US


@dataclass(frozen=True, slots=True)
class WindowedFeature:
    """A feature read from `fields` of the tiles of one ring; `function` is what the user wrote."""

    name: str
    column: str
    function: str
    calculation: Calculation
    window: Window
    ring: int
    fields: tuple[Field, ...]
    dtype: str

    @property
    def integer(self) -> bool:
        """Whether its column holds whole numbers."""
        return self.fields[0].integer


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything the engine needs to know of one feature set version."""

    rings: tuple[Ring, ...]
    windowed: tuple[WindowedFeature, ...]
    plain: tuple[tuple[str, str], ...]  # (column, type) of the latest-value features

    @property
    def largest(self) -> dict[str, float]:
        """By float column that enters tiles, the size that its values must stay below."""
        bounds: dict[str, float] = {}
        for field in (field for ring in self.rings for field in ring.fields if field.dtype == "float64"):
            bound = LARGEST_SQUARED if field.kind == "square_high" else LARGEST
            bounds[field.column] = min(bound, bounds.get(field.column, bound))
        return bounds


def lay_out(aggregates: Sequence[Aggregate], columns: Mapping[str, str], plain: Sequence[tuple[str, str]]) -> Layout:
    """Compiles aggregates over typed columns (already checked) to a layout."""
    fields: dict[int, set[Field]] = {}
    lengths: dict[int, int] = {}
    newest = _newest(aggregates)
    read: list[tuple[Aggregate, str, Calculation, Window, int, tuple[Field, ...]]] = []
    for aggregate in aggregates:
        for function, calculation in zip(aggregate.functions, aggregate.calculations(), strict=True):
            for window in aggregate.parsed_windows():
                here = _fields(aggregate.column, calculation, columns, newest)
                timeless = here[0].kind == "recent"
                grain = EVER_US if timeless else window.granularity_us
                reach = window.length_us + (window.granularity_us if timeless else 0)
                lengths[grain] = max(lengths.get(grain, 0), reach)
                fields.setdefault(grain, set() if timeless else {ROWS}).update(here)
                read.append((aggregate, function, calculation, window, grain, here))
    grains = sorted(lengths)
    rings = tuple(Ring(grain, lengths[grain], tuple(sorted(fields[grain]))) for grain in grains)
    windowed = tuple(
        WindowedFeature(
            name=aggregate.feature_name(function, window.name),
            column=aggregate.column,
            function=function,
            calculation=calculation,
            window=window,
            ring=grains.index(grain),
            fields=here,
            dtype=calculation.gives(here[0].dtype),
        )
        for aggregate, function, calculation, window, grain, here in read
    )
    return Layout(rings=rings, windowed=windowed, plain=tuple(plain))


def _fields(
    column: str, calculation: Calculation, columns: Mapping[str, str], newest: Mapping[str, int]
) -> tuple[Field, ...]:
    if column == EVERY_ROW:
        return (ROWS,)
    sizes: dict[FieldKind, int] = {"top": calculation.size, "recent": newest.get(column, 0)}
    return tuple(Field(column, kind, widened(columns[column]), sizes.get(kind, 0)) for kind in calculation.needs)


def widened(dtype: str) -> str:
    """The type as whose values a column of `dtype` enters tiles."""
    return {"int32": "int64", "float32": "float64"}.get(dtype, dtype)


def _newest(aggregates: Sequence[Aggregate]) -> dict[str, int]:
    """By column, how many of its newest values some feature asks for: one list serves all of them."""
    most: dict[str, int] = {}
    for aggregate in aggregates:
        for calculation in aggregate.calculations():
            if "recent" in calculation.needs:
                most[aggregate.column] = max(most.get(aggregate.column, 1), calculation.size)
    return most
