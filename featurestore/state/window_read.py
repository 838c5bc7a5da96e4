"""Reading windows whose state has a fixed size: all windows of all keys in one pass over the stored bytes.

Rings with the same fields are read together, so three windows cost little more than one. The state is merged and
finalised by the functions that every other reader uses (fields.py, finalize.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..definitions.layout import LISTED, SUMS, Field, Layout, WindowedFeature
from ..definitions.windows import Window
from . import fields as state
from .fields import Column, Fields
from .finalize import Values, finalize
from .fixed_point import Fixed
from .packed import Opened, straight
from .states import slot_dtype

Int64s = NDArray[np.int64]


def readable(feature: WindowedFeature) -> bool:
    """Whether the feature's state has a fixed size."""
    return not any(field.kind in LISTED for field in feature.fields)


@dataclass(frozen=True, slots=True, eq=False)  # told apart by identity: hashed once a read
class Stack:
    """One function over several windows: the features that are wanted, each with the place of its window."""

    any_feature: WindowedFeature
    windows: int
    features: tuple[tuple[int, WindowedFeature], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Windows whose rings have the same fields, each with its ring; and what is computed of them."""

    rings: slice | list[int]
    lengths_us: Int64s  # windows x 1, as the granularities
    granularities_us: Int64s
    slot_bytes: int
    fields: tuple[tuple[int, Field], ...]  # each with its first byte in a slot
    stacks: tuple[Stack, ...]


class WindowPlan:
    """How the windows of one layout are read."""

    def __init__(self, layout: Layout, wanted: Sequence[WindowedFeature]) -> None:
        by_fields: dict[tuple[Field, ...], list[WindowedFeature]] = {}
        for feature in wanted:
            by_fields.setdefault(layout.rings[feature.ring].fields, []).append(feature)
        self._sizes = np.array([[slot_dtype(ring).itemsize] for ring in layout.rings], dtype=np.int64)
        self._groups = tuple(_group(layout, features) for features in by_fields.values())

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """All that is computed."""
        return tuple(stack for group in self._groups for stack in group.stacks)

    def read(self, opened: Opened, q_us: Int64s) -> Iterator[tuple[Stack, Values]]:
        """Each stack's values, window after window, one a key."""
        begins, counts = self._begins(opened)
        for group in self._groups:
            merged = _merged(group, opened.whole, begins, counts, q_us)
            for stack in group.stacks:
                values = finalize(stack.any_feature, merged)
                assert isinstance(values, Values)
                yield stack, values

    def _begins(self, opened: Opened) -> tuple[Int64s, Int64s]:
        """Rings x keys: where the tiles begin in the joined values, and how many they are."""
        counts = np.array(opened.tile_counts().T, dtype=np.int64, order="C")
        blocks = counts * self._sizes
        ends = blocks.cumsum(axis=0)
        lengths, first = opened.lengths, opened.body_begins()
        opened.check(first + ends[-1], lengths)
        ends += lengths.cumsum() - lengths + first
        ends -= blocks
        return ends, counts


def _group(layout: Layout, features: Sequence[WindowedFeature]) -> Group:
    windows = tuple(dict.fromkeys((feature.window, feature.ring) for feature in features))
    stacks: dict[object, dict[tuple[Window, int], WindowedFeature]] = {}
    for feature in features:
        stacks.setdefault((feature.fields, feature.calculation), {})[feature.window, feature.ring] = feature
    ring = layout.rings[features[0].ring]
    needed = {field for feature in features for field in feature.fields}
    slot = slot_dtype(ring)
    at = {name: field[1] for name, field in (slot.fields or {}).items()}
    fields = [
        (at[f"hi{place}" if field.kind in SUMS else f"f{place}"], field)
        for place, field in enumerate(ring.fields)
        if field in needed
    ]
    return Group(
        rings=straight([ring for _, ring in windows]),
        lengths_us=np.array([[window.length_us] for window, _ in windows]),
        granularities_us=np.array([[window.granularity_us] for window, _ in windows]),
        slot_bytes=slot.itemsize,
        fields=tuple(fields),
        stacks=tuple(
            Stack(
                any_feature=next(iter(found.values())),
                windows=len(windows),
                features=tuple((place, found[window]) for place, window in enumerate(windows) if window in found),
            )
            for found in stacks.values()
        ),
    )


def _merged(group: Group, whole: bytes, begins: Int64s, counts: Int64s, q_us: Int64s) -> Fields:
    """The state of each window of each key."""
    oldest = ((q_us - group.lengths_us) // group.granularities_us).ravel()
    size = group.slot_bytes
    runs = counts[group.rings].ravel()
    ends = runs.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    # Every slot's place: where its run begins, and a step for each slot of the run before it.
    places = (begins[group.rings].ravel() - size * (ends - runs)).repeat(runs)
    places += np.arange(0, total * size, size)
    codes = np.arange(len(runs)).repeat(runs)
    # A view of every byte as if a slot began there: picking from it copies just the slots that are asked for, and
    # whole, since copying records goes field by field.
    anywhere = np.ndarray((max(len(whole) - size + 1, 0),), f"V{size}", whole, 0, (1,))
    slots = anywhere[places]
    inside = _word(slots, size, 0) >= oldest[codes]
    if not inside.all():
        kept = inside.nonzero()[0]
        slots, codes = slots[kept], codes[kept]
    columns = {field: _column(slots, size, at, field) for at, field in group.fields}
    if not len(codes):
        return state.nothing(columns, len(runs))
    first = np.empty(len(codes), dtype=bool)
    first[0] = True
    np.not_equal(codes[1:], codes[:-1], out=first[1:])
    starts = first.nonzero()[0]
    merged = state.merge_runs(columns, starts)
    return merged if len(starts) == len(runs) else state.spread(merged, codes[starts], len(runs))


def _word(slots: NDArray[np.void], size: int, at: int) -> Int64s:
    """The eight bytes from byte `at` of each slot on."""
    return np.ndarray((len(slots),), "<i8", slots.data if len(slots) else None, at if len(slots) else 0, (size,))


def _column(slots: NDArray[np.void], size: int, at: int, field: Field) -> Column:
    word = _word(slots, size, at)
    if field.kind in SUMS:
        return Fixed(word, _word(slots, size, at + 8).view(np.uint64))
    return word if field.integer or field.kind in ("rows", "n") else word.view(np.float64)
