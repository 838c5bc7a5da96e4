"""Point-in-time values: what a feature set would have served at a moment in the past, computed from its log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from ..definitions.layout import Field, WindowedFeature
from ..definitions.windows import Window
from ..state import fields as state
from ..state.event_order import event_order
from ..state.fields import Fields, Int64s
from ..state.finalize import Finalizer, Values
from ..state.places import Places
from ..state.ranges import Ranges
from .at_once import at_once

PART = 65_536  # questions: what is made of so many on the way stays near the processor
Over = Callable[[Ranges, Iterable[Field], Int64s, Int64s], Fields]


@dataclass(frozen=True, slots=True)
class History:
    """A set's events sorted by (key, ts, offset), and where each key's begin; `frame` has the same order."""

    begins: Int64s  # one more than there are keys
    ts_us: Int64s
    offsets: Int64s
    frame: pl.DataFrame

    def spans(self, spine: Spine) -> tuple[Int64s, Int64s]:
        """Where the events of each question's key begin and end."""
        known = spine.codes >= 0
        return self.begins[spine.codes * known] * known, self.begins[(spine.codes + 1) * known] * known


@dataclass(frozen=True, slots=True)
class Spine:
    """The questions: a key's code (-1: no event has it) and a moment each. No question is ever dropped."""

    codes: Int64s
    q_us: Int64s


def history(codes: Int64s, ts_us: Int64s, offsets: Int64s, frame: pl.DataFrame) -> History:
    """Sorts events; `codes` are 0 .. keys-1, and -1 for events of keys that nobody asks about."""
    asked = np.flatnonzero(codes >= 0)
    if len(asked) == len(codes):
        order = event_order(codes, ts_us, offsets)
    else:
        codes = codes[asked]
        order = asked[event_order(codes, ts_us[asked], offsets[asked])]
    begins = np.append(0, np.cumsum(np.bincount(codes)))
    return History(begins, ts_us[order], offsets[order], frame[order])


def windowed_values(
    past: History,
    spine: Spine,
    wanted: list[WindowedFeature],
    *,
    over: Over | None = None,
) -> dict[str, Values | pl.Series]:
    """One value a question and feature; equal to the bit to what the online store computes from its tiles.

    `over` merges a range of events a question where some must not be seen; all of them are without it.
    """
    if not wanted:
        return {}
    by_window: dict[Window, list[WindowedFeature]] = {}
    for feature in wanted:
        by_window.setdefault(feature.window, []).append(feature)
    needed = tuple(sorted({field for feature in wanted for field in feature.fields}))
    ranges = Ranges(state.of_events(past.frame, needed, state.Moments(past.ts_us, past.offsets)))
    places = Places(past.begins, past.ts_us)
    rows = len(past.ts_us) + len(spine.q_us)
    at_once([partial(ranges.prepare, field) for field in needed], rows=rows)

    def of_part(part: slice) -> dict[str, Values | pl.Series]:
        codes, q_us = spine.codes[part], spine.q_us[part]
        heads = places.reached(codes, q_us)
        made: dict[str, Values | pl.Series] = {}
        for window, here in by_window.items():
            grain_us = window.granularity_us
            tails = places.reached(codes, (q_us - window.length_us) // grain_us * grain_us)
            fields = dict.fromkeys(field for feature in here for field in feature.fields)
            finalizer = Finalizer((over or Ranges.over)(ranges, fields, tails, heads))
            made.update((feature.name, finalizer.values(feature)) for feature in here)
        return made

    # What may not be seen is known by a question's place among all of them.
    step = PART if over is None else max(len(spine.q_us), 1)
    parts = [slice(first, first + step) for first in range(0, max(len(spine.q_us), 1), step)]
    found = at_once([partial(of_part, part) for part in parts], rows=rows)
    return {name: _whole([one[name] for one in found]) for name in found[0]}


def _whole(parts: list[Values | pl.Series]) -> Values | pl.Series:
    """The values of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    columns = [part for part in parts if isinstance(part, pl.Series)]
    if columns:
        return pl.concat(columns)
    values = [part for part in parts if isinstance(part, Values)]
    joined = np.concatenate([part.values for part in values])
    if all(part.present is None for part in values):
        return Values(joined)
    seen = [np.ones(len(part.values), dtype=bool) if part.present is None else part.present for part in values]
    return Values(joined, np.concatenate(seen))


def latest_rows(
    past: History,
    spine: Spine,
    ttl_us: int | None,
    *,
    seen: Callable[[Int64s, Int64s], Int64s] | None = None,
) -> Int64s:
    """The position of the newest row before each moment, -1 where there is none or it is older than the ttl.

    `seen` finds the newest row of a range a question, where not all of them may be seen.
    """
    begins = past.spans(spine)[0]
    heads = Places(past.begins, past.ts_us).reached(spine.codes, spine.q_us)
    rows = np.where(heads > begins, heads - 1, -1) if seen is None else seen(begins, heads)
    if ttl_us is not None and len(past.ts_us):
        rows = np.where(spine.q_us - past.ts_us[rows] <= ttl_us, rows, -1)
    return rows
