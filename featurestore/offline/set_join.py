"""One feature set joined to labels: its columns as they were at each label's moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..definitions.catalog import AppliedSet
from ..definitions.wanted import Ahead, Wanted
from ..state.columns import series
from ..state.event_order import event_order
from ..state.fields import Int64s
from .as_of import History, Spine, history, latest_rows, windowed_values
from .at_once import both
from .key_codes import key_codes
from .offline import OFFSET, PARTITION
from .sight import Sight, as_served

Read = Callable[..., pl.DataFrame]  # OfflineStore.read, of one cut
_ROW = (pl.col(OFFSET).cast(pl.Int64) * 2**16 + pl.col(PARTITION)).alias("_row")  # a row's own number in its table


@dataclass(frozen=True, slots=True)
class Bound:
    """Which events a question may see: those whose `column` (a place or a moment in the log) is below its entry."""

    column: str
    below: Int64s


@dataclass(frozen=True, slots=True)
class Questions:
    """Labels as a join sees them: a frame with the entity columns and a moment a row."""

    frame: pl.DataFrame
    q_us: Int64s
    bound: Bound | None = None


def columns_read(item: Wanted, bound: str | None) -> list[str]:
    """Every column of the set's table that `set_columns` may ask for, in one of its reads or the other."""
    applied, names = item.applied, {ref.feature for ref in item.refs}
    windowed = [f.column for f in applied.layout.windowed if f.name in names and f.column in applied.columns]
    plain = [name for name, _ in applied.layout.plain if name in names]
    keys = [*(entity.name for entity in applied.entities), applied.timestamp, OFFSET, PARTITION]
    return list(dict.fromkeys([*keys, *windowed, *plain, *([] if bound is None else [bound])]))


def oldest_read(item: Wanted, first_us: int) -> tuple[str, int] | None:
    """The time column and the oldest moment that questions from `first_us` on may look back to; None for any."""
    names = {ref.feature for ref in item.refs}
    windowed = [feature for feature in item.applied.layout.windowed if feature.name in names]
    latest = any(name in names for name, _ in item.applied.layout.plain)
    # Windows alone need no event older than the earliest window; a latest value may be of any age.
    if latest and item.ttl_us is None:
        return None
    reaches_us = [feature.window.length_us + feature.window.granularity_us for feature in windowed]
    return item.applied.timestamp, first_us - max([*reaches_us, item.ttl_us or 0])


def set_columns(item: Wanted, asked: Questions, read: Read) -> dict[str, pl.Series]:
    """The wanted features of one set, named as in a training set; one entry a question, none is lost."""
    if item.ahead is None:
        return _columns(item, asked, read)
    # What became of a row is known later than its features: as of no clock but the label's own.
    q_us = _asked_us(item.ahead, asked.q_us)
    unknown = pl.Series(q_us > item.ahead.until_us)
    made = _columns(item, Questions(asked.frame, q_us), read)
    return made if item.ahead.after_us is None else {name: _nulled(one, unknown) for name, one in made.items()}


def _asked_us(ahead: Ahead, q_us: Int64s) -> Int64s:
    if ahead.after_us is None:
        return np.full(len(q_us), ahead.until_us + 1, dtype=np.int64)
    return q_us + ahead.after_us


def _nulled(column: pl.Series, where: pl.Series) -> pl.Series:
    return pl.select(pl.when(~where).then(column).alias(column.name)).to_series()


def _columns(item: Wanted, asked: Questions, read: Read) -> dict[str, pl.Series]:
    applied, names = item.applied, {ref.feature: ref.column for ref in item.refs}
    windowed = [feature for feature in applied.layout.windowed if feature.name in names]
    plain = [name for name, _ in applied.layout.plain if name in names]
    # Of latest values alone, the rows that win are found by key and moment, and only those are read whole.
    slim = not windowed
    used = [PARTITION] if slim else [f.column for f in windowed if f.column in applied.columns] + plain
    used += [] if asked.bound is None else [asked.bound.column]
    entities = [entity.name for entity in applied.entities]
    oldest = oldest_read(item, int(asked.q_us.min())) if len(asked.q_us) else None
    columns = list(dict.fromkeys([*entities, applied.timestamp, OFFSET, *used]))
    events = _typed(read(applied.full_name, columns, from_us=oldest), applied)
    kept = list(dict.fromkeys([OFFSET, *used]))
    past, spine, order = _coded(events, asked, applied, kept=kept, ordered=bool(windowed))
    if order is not None:
        spine = Spine(spine.codes[order], spine.q_us[order])
    sight = None
    if asked.bound is not None:
        below = asked.bound.below if order is None else asked.bound.below[order]
        sight = Sight(_whole(past.frame[asked.bound.column]), below)
        spine = as_served(past, spine, sight)
    values = windowed_values(past, spine, windowed, over=None if sight is None else sight.over)
    made = {names[name]: series(column, applied.feature_types[name]) for name, column in values.items()}
    if plain:
        rows = latest_rows(past, spine, item.ttl_us, seen=None if sight is None else sight.newest)
        latest = past.frame
        if slim:
            latest, rows = _fetched(
                past,
                rows,
                applied,
                lambda row: read(applied.full_name, [*plain, PARTITION, OFFSET], from_us=oldest, where=row),
            )
        index = pl.Series(np.where(rows < 0, 0, rows)).set(pl.Series(rows < 0), None)
        for name in plain:
            column = latest[name]
            made[names[name]] = column.gather(index) if len(column) else column.clear(len(rows))
    if order is None:
        return made
    back = np.empty(len(order), dtype=np.uint32)
    back[order] = np.arange(len(order), dtype=np.uint32)
    return pl.DataFrame(made)[pl.Series(back)].to_dict()  # all columns at once, on every core


def _coded(
    events: pl.DataFrame, asked: Questions, applied: AppliedSet, *, kept: list[str], ordered: bool
) -> tuple[History, Spine, NDArray[np.intp] | None]:
    """The events of the keys asked for as a history of the columns `kept`, and the questions with their keys' codes.

    Questions in the order of the events look at neighbouring memory: that order too, if it is wanted.
    """
    ts_us, offsets = events[applied.timestamp].dt.epoch("us").to_numpy(), _whole(events[OFFSET])
    codes, asked_codes = key_codes(events, asked.frame, applied.entities)
    # A key without events has no place among the others'.
    spine = Spine(np.where(asked_codes <= codes.max(initial=-1), asked_codes, -1), asked.q_us)

    def order() -> NDArray[np.intp] | None:
        return event_order(spine.codes + 1, spine.q_us, np.arange(len(spine.q_us))) if ordered else None

    rows = len(codes) + len(asked_codes)
    past, found = both(lambda: history(codes, ts_us, offsets, events.select(kept)), order, rows=rows)
    return past, spine, found


def _fetched(
    past: History, rows: Int64s, applied: AppliedSet, read: Callable[[pl.Expr], pl.DataFrame]
) -> tuple[pl.DataFrame, Int64s]:
    """The rows at these positions (-1: none) read whole, and each one's position among what was read."""
    numbers = past.frame.select(_ROW).to_series().to_numpy()
    winners, which = np.unique(numbers[rows[rows >= 0]], return_inverse=True)
    latest = _typed(read(_ROW.is_in(pl.Series(winners).implode())), applied)
    found = latest.select(_ROW).to_series().to_numpy()
    order = np.argsort(found)
    # A row may be gone between the two reads: an erasure.
    places = np.full(len(winners), -1, dtype=np.int64)
    places[np.searchsorted(winners, found[order])] = order
    at = np.full(len(rows), -1, dtype=np.int64)
    at[rows >= 0] = places[which]
    return latest, at


def _typed(events: pl.DataFrame, applied: AppliedSet) -> pl.DataFrame:
    # As whole numbers of one width: together they name a row.
    return applied.typed(events).cast({name: pl.Int64 for name in (PARTITION, OFFSET) if name in events.columns})


def _whole(column: pl.Series) -> Int64s:
    return (column.dt.epoch("us") if isinstance(column.dtype, pl.Datetime) else column).cast(pl.Int64).to_numpy()
