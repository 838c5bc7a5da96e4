"""Reading windows whose state has a fixed size: all windows of all keys in one pass over the stored bytes.

Rings with the same fields are read together, so three windows cost little more than one. The state is merged and
finalised by the functions that every other reader uses (fields.py, finalize.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..definitions.layout import LISTED, SUMS, Field, Layout, WindowedFeature
from ..definitions.windows import Window
from . import fields as state
from .columns import with_nan
from .fields import Column, Fields
from .finalize import Finalizer, Values
from .fixed_point import Fixed
from .packed import Opened, straight
from .row_codec import has_tail
from .states import slot_dtype

Int64s = NDArray[np.int64]
Records = NDArray[np.void]


def readable(feature: WindowedFeature) -> bool:
    """Whether the feature's state has a fixed size."""
    return not any(field.kind in LISTED for field in feature.fields)


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """One function over several windows: the features that are wanted, each with the place of its window."""

    any_feature: WindowedFeature
    features: tuple[tuple[int, WindowedFeature], ...]
    nullable: bool  # null in an empty window; counts and sums are 0 there


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Windows whose rings have the same fields, each with its ring; and what is computed of them."""

    rings: slice | list[int]
    lengths_us: Int64s  # windows x 1, as the granularities
    granularities_us: Int64s
    slot: np.dtype[np.void]
    fields: tuple[tuple[tuple[str, ...], Field], ...]  # each with its names in a slot
    stacks: tuple[Stack, ...]
    whole: bool  # its slots are all that is stored behind the heads
    empty: NDArray[np.float64]  # what an empty window's numbers are, stacks x 1

    @property
    def windows(self) -> int:
        """How many there are."""
        return len(self.lengths_us)


class Found:
    """A group's features for some keys: only windows that hold events have a state."""

    def __init__(self, group: Group, keys: int, filled: NDArray[np.intp], merged: Fields) -> None:
        self.group = group
        self._shape = (keys, group.windows)
        self._filled = filled  # their places, key after key
        self._finalizer = Finalizer(merged)

    def numbers(self) -> NDArray[np.float64]:
        """Stacks x keys x windows, null as NaN."""
        group, (keys, windows) = self.group, self._shape
        made = group.empty.repeat(keys * windows, axis=1)
        for row, stack in zip(made, group.stacks, strict=True):
            row[self._filled] = with_nan(self._values(stack))
        return made.reshape(-1, keys, windows)

    def windows(self, stack: Stack) -> Iterator[tuple[WindowedFeature, Values]]:
        """Each feature's values, one a key."""
        made = self._values(stack)
        values = self._spread(made.values)
        present = None
        if stack.nullable:
            present = self._spread(np.ones(len(made.values), dtype=bool) if made.present is None else made.present)
        for place, feature in stack.features:
            yield feature, Values(values[place], None if present is None else present[place])

    def _values(self, stack: Stack) -> Values:
        values = self._finalizer.values(stack.any_feature)
        assert isinstance(values, Values)
        return values

    def _spread(self, made: NDArray[Any]) -> NDArray[Any]:
        """Windows x keys, 0 where a window is empty."""
        whole = np.zeros(self._shape, dtype=made.dtype)
        whole.reshape(-1)[self._filled] = made
        return np.ascontiguousarray(whole.T)


class WindowPlan:
    """How the windows of one layout are read."""

    def __init__(self, layout: Layout, wanted: Sequence[WindowedFeature]) -> None:
        by_fields: dict[tuple[Field, ...], list[WindowedFeature]] = {}
        for feature in wanted:
            by_fields.setdefault(layout.rings[feature.ring].fields, []).append(feature)
        self._sizes = np.array([slot_dtype(ring).itemsize for ring in layout.rings], dtype=np.int64)
        self._spare = int(self._sizes.max())
        self.groups = tuple(_group(layout, features) for features in by_fields.values())

    def read(self, opened: Opened, q_us: Int64s) -> Iterator[Found]:
        """The features of each group."""
        counts = opened.tile_counts()
        bodies = opened.bodies(counts @ self._sizes, spare=self._spare)
        for group in self.groups:
            if group.whole:
                slots, runs = np.frombuffer(bodies, group.slot), counts.reshape(-1)
            else:
                blocks = counts * self._sizes
                begins = blocks.cumsum(axis=1) - blocks + opened.tile_begins()[:, None]
                runs = counts[:, group.rings].reshape(-1)
                slots = _gathered(bodies, begins[:, group.rings].reshape(-1), runs, group.slot)
            # A window's moments side by side: numpy is slow at rows as short as there are windows.
            oldest = ((q_us - group.lengths_us) // group.granularities_us).T.reshape(-1)
            yield Found(group, len(opened), *_merged(group, slots, runs, oldest))


def _group(layout: Layout, features: Sequence[WindowedFeature]) -> Group:
    windows = tuple(dict.fromkeys((feature.window, feature.ring) for feature in features))
    stacks: dict[object, dict[tuple[Window, int], WindowedFeature]] = {}
    for feature in features:
        stacks.setdefault((feature.fields, feature.calculation), {})[feature.window, feature.ring] = feature
    ring = layout.rings[features[0].ring]
    needed = {field for feature in features for field in feature.fields}
    slot = slot_dtype(ring)
    fields = tuple(
        ((f"hi{place}", f"lo{place}") if field.kind in SUMS else (f"f{place}",), field)
        for place, field in enumerate(ring.fields)
        if field in needed
    )
    nothing = Finalizer(state.nothing(_columns(np.zeros(0, slot), fields), 1))
    made = []
    for found in stacks.values():
        feature = next(iter(found.values()))
        empty = nothing.values(feature)
        assert isinstance(empty, Values)
        places = tuple((place, found[window]) for place, window in enumerate(windows) if window in found)
        made.append(Stack(feature, places, nullable=empty.present is not None))
    tailed = any(has_tail(dtype) for _, dtype in layout.plain)
    return Group(
        rings=straight([ring for _, ring in windows]),
        lengths_us=np.array([[window.length_us] for window, _ in windows]),
        granularities_us=np.array([[window.granularity_us] for window, _ in windows]),
        slot=slot,
        fields=fields,
        stacks=tuple(made),
        whole=[ring for _, ring in windows] == list(range(len(layout.rings))) and not tailed and not _listed(layout),
        empty=np.array([[np.nan if stack.nullable else 0.0] for stack in made]),
    )


def _listed(layout: Layout) -> bool:
    return any(field.kind in LISTED for ring in layout.rings for field in ring.fields)


def _gathered(bodies: bytes, begins: Int64s, runs: Int64s, slot: np.dtype[np.void]) -> Records:
    """The slots of runs that begin at these bytes, one after the other, and one without meaning."""
    size, total = slot.itemsize, int(runs.sum())
    # Every slot's place: where its run begins, and a step for each slot of the run before it.
    places = np.zeros(total + 1, dtype=np.int64)
    places[:total] = (begins - size * (runs.cumsum() - runs)).repeat(runs)
    places[:total] += np.arange(0, size * total, size)
    # A view of every byte as if a slot began there: picking from it copies just the slots that are asked for, and
    # whole, since copying records goes field by field.
    anywhere = np.ndarray((len(bodies) - size + 1,), f"V{size}", bodies, 0, (1,))
    return anywhere[places].view(slot)


def _merged(group: Group, slots: Records, runs: Int64s, oldest: Int64s) -> tuple[NDArray[np.intp], Fields]:
    """The runs that hold a tile of the window, and the state of each; there is one slot more than they have."""
    filled = runs.nonzero()[0]
    counts = runs[filled]
    ends = counts.cumsum()
    starts = ends - counts
    if len(filled):
        # Tiles ascend, so those before the window are the first of their run.
        passed = np.add.reduceat(slots["tile"][: ends[-1]] < oldest[filled].repeat(counts), starts, dtype=np.int64)
        inside = (passed < counts).nonzero()[0]
        filled, starts, ends = filled[inside], (starts + passed)[inside], ends[inside]
    return filled, state.merge_spans(_columns(slots, group.fields), starts, ends)


def _columns(slots: Records, fields: Sequence[tuple[tuple[str, ...], Field]]) -> dict[Field, Column]:
    return {field: _column(slots, names) for names, field in fields}


def _column(slots: Records, names: tuple[str, ...]) -> Column:
    if len(names) == 1:
        column: Column = slots[names[0]]
        return column
    return Fixed(slots[names[0]], slots[names[1]])
