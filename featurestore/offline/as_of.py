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
    over: Over = Ranges.over,
) -> dict[str, Values | pl.Series]:
    """One value a question and feature; equal to the bit to what the online store computes from its tiles.

    `over` merges a range of events a question: all of them, unless it leaves out what must not be seen.
    """
    if not wanted:
        return {}
    needed = tuple(sorted({field for feature in wanted for field in feature.fields}))
    ranges = Ranges(state.of_events(past.frame, needed, state.Moments(past.ts_us, past.offsets)))
    places = Places(past.begins, past.ts_us, spine.codes)
    rows = len(past.ts_us) + len(spine.q_us)
    at_once([partial(ranges.prepare, field) for field in needed], rows=rows)
    heads = places.reached(spine.q_us)

    def of_window(window: Window) -> dict[str, Values | pl.Series]:
        grain_us = window.granularity_us
        tails = places.reached((spine.q_us - window.length_us) // grain_us * grain_us)
        here = [feature for feature in wanted if feature.window == window]
        fields = dict.fromkeys(field for feature in here for field in feature.fields)
        finalizer = Finalizer(over(ranges, fields, tails, heads))
        return {feature.name: finalizer.values(feature) for feature in here}

    windows = dict.fromkeys(feature.window for feature in wanted)
    found = at_once([partial(of_window, window) for window in windows], rows=rows)
    return {name: values for one in found for name, values in one.items()}


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
    heads = Places(past.begins, past.ts_us, spine.codes).reached(spine.q_us)
    rows = np.where(heads > begins, heads - 1, -1) if seen is None else seen(begins, heads)
    if ttl_us is not None and len(past.ts_us):
        rows = np.where(spine.q_us - past.ts_us[rows] <= ttl_us, rows, -1)
    return rows
