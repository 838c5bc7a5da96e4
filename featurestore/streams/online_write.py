"""Writing online: events of some partitions into the stored values of their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...runtime.errors import Fenced
from ..definitions.catalog import AppliedSet
from ..definitions.entity import frame_keys
from ..definitions.wanted import Wanted
from ..events.leases import Lease
from ..offline.offline import OFFSET, PARTITION
from ..online.online import OnlineStore, wall_clock_ms
from ..online.online_keys import OnlineKeys
from ..online.requests import Requests, moment_us
from ..state.engine import Events, advance
from ..state.packed import newest_us
from ..state.plain_step import PlainStep
from ..state.states import decode, encode

KEYS_A_STEP = 4_000  # bounds memory: two steps hold the states of this many keys at once
FEW = 64  # below it, plain Python is faster than a query
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Stepped:
    """Keys in the order of their partitions, and the values that are to be stored under them."""

    keys: list[bytes]
    values: list[bytes]
    homes: NDArray[np.int32]


class OnlineWriter:
    """Advances the stored values of one feature set version."""

    def __init__(self, applied: AppliedSet, online: OnlineStore, *, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._now_ms = now_ms
        self._applied = applied
        self._online = online
        layout = applied.layout
        self._plain = PlainStep(layout) if layout.plain and not layout.rings else None
        self._keys = OnlineKeys([Wanted(applied, ())])
        self._reach_us = reach_us(applied)

    def put(self, frame: pl.DataFrame, leases: Mapping[int, Lease]) -> dict[int, Fenced]:
        """Events in the order of their partitions, stored as far as the leases allow; the partitions taken over."""
        lost: dict[int, Fenced] = {}
        if frame.height <= KEYS_A_STEP:
            for step in self._steps(frame):
                self._write(self._stepped(*step), leases, lost)
            return lost
        # The server stores one step while the next is read and advanced: they have no key in common.
        with ThreadPoolExecutor(max_workers=1) as beside:
            stored: Future[None] | None = None
            for step in self._steps(frame):
                made = self._stepped(*step)
                if stored is not None:
                    stored.result()
                stored = beside.submit(self._write, made, leases, lost)
            if stored is not None:
                stored.result()
        return lost

    def _stepped(self, keys: list[bytes], events: Events, homes: NDArray[np.int32]) -> Stepped:
        return Stepped(keys, self._advanced(self._online.read(keys), events), homes)

    def _write(self, made: Stepped, leases: Mapping[int, Lease], lost: dict[int, Fenced]) -> None:
        expires_ms = self._expiries(made.values)
        for partition in dict.fromkeys(made.homes.tolist()):
            own = np.flatnonzero(made.homes == partition)
            here = slice(int(own[0]), int(own[-1]) + 1)
            try:
                if partition not in lost:
                    pairs = zip(made.keys[here], made.values[here], strict=True)
                    self._online.write(pairs, lease=leases[partition], expires_ms=expires_ms and expires_ms[here])
            except Fenced as error:
                lost[partition] = error

    def _advanced(self, packed: Sequence[bytes | None], events: Events) -> list[bytes]:
        if self._plain is not None:
            return self._plain.advanced(packed, events)
        layout = self._applied.layout
        return encode(advance(decode(packed, layout), events, layout), layout)

    def _expiries(self, values: Sequence[bytes]) -> list[int] | None:
        """When each value says nothing any more, in milliseconds; 0 for never, None when all are for ever."""
        if self._reach_us is None:
            return None
        return expiries_ms(newest_us(values), self._reach_us, now_us=self._now_ms() * 1000)

    def _steps(self, frame: pl.DataFrame) -> Iterator[tuple[list[bytes], Events, NDArray[np.int32]]]:
        """The events in groups of whole keys, each with the online keys its codes stand for and their partitions."""
        if not frame.height:
            return
        if frame.height <= FEW:
            yield self._few(frame)
            return
        names, codes = self._many(frame)
        homes = np.empty(len(names), dtype=np.int32)
        homes[codes] = frame.get_column(PARTITION).to_numpy()
        ts_us = frame.get_column(self._applied.timestamp).to_numpy().view(np.int64)
        offsets = frame.get_column(OFFSET).to_numpy()
        if len(names) <= KEYS_A_STEP:
            yield names, Events(codes, ts_us, offsets, frame), homes
            return
        once = len(names) == len(codes)
        for first in range(0, len(names), KEYS_A_STEP):
            here = slice(first, first + KEYS_A_STEP)
            if once:  # every key has one event, in this order: parts of the frame, nothing is copied
                events = Events(codes[here] - first, ts_us[here], offsets[here], frame[here])
            else:
                inside = np.flatnonzero((codes >= first) & (codes < first + KEYS_A_STEP))
                events = Events(codes[inside] - first, ts_us[inside], offsets[inside], frame[inside])
            yield names[here], events, homes[here]

    def _few(self, frame: pl.DataFrame) -> tuple[list[bytes], Events, NDArray[np.int32]]:
        """Some events: as `_many`, without its fixed cost. A column of a frame costs 10 us, all of a row fewer."""
        rows = frame.rows() if self._plain is not None and self._plain.scalar else None
        columns = dict(zip(frame.columns, zip(*rows, strict=True), strict=True)) if rows is not None else {}

        def column(name: str) -> Sequence[Any]:
            return columns[name] if columns else frame.get_column(name).to_list()

        asked = {entity.name: column(entity.name) for entity in self._applied.entities}
        keys = self._keys.of(Requests(asked, owner=self._applied.name))
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        codes = np.array([places[key] for key in keys])
        homes = np.empty(len(places), dtype=np.int32)
        homes[codes] = column(PARTITION)
        if columns:
            moments = [moment_us(moment, owner=self._applied.name) for moment in columns[self._applied.timestamp]]
            ts_us = np.array(moments, dtype=np.int64)
        else:
            ts_us = frame.get_column(self._applied.timestamp).to_numpy().view(np.int64)
        return list(places), Events(codes, ts_us, np.array(column(OFFSET), dtype=np.int64), frame, rows), homes

    def _many(self, frame: pl.DataFrame) -> tuple[list[bytes], NDArray[np.int64]]:
        # One dictionary encoding gives codes in order of first appearance, whatever the keys' types are; the events
        # come in the order of their partitions, so the keys do too.
        keys = frame_keys(self._applied.entities, frame)
        distinct = keys.unique(maintain_order=True)
        codes = np.arange(len(distinct))
        if len(distinct) < len(keys):
            codes = keys.replace_strict(distinct, pl.Series(codes), return_dtype=pl.Int64).to_numpy()
        before = self._applied.online_key("")[:-1].decode()
        names = pl.select(pl.concat_str(pl.lit(before), distinct, pl.lit("}"))).to_series().cast(pl.Binary)
        return names.to_list(), codes


def reach_us(applied: AppliedSet) -> int | None:
    """How long after its newest event a value still says something; None for ever."""
    layout = applied.layout
    if layout.plain and applied.ttl_us is None:
        return None
    windows = [feature.window.length_us + feature.window.granularity_us for feature in layout.windowed]
    return max([*windows, applied.ttl_us or 0])


def expiries_ms(newest_us: NDArray[np.int64], reach_us: int, *, now_us: int) -> list[int]:
    """When each value may go: a day after it says nothing, for requests that name an earlier moment; 0 for never.

    History that is loaded long after it happened stays: whoever replays it asks at its own moments.
    """
    ends_us = newest_us + (reach_us + DAY_US)
    ends: list[int] = np.where(ends_us > now_us, ends_us // 1000 + 1, 0).tolist()
    return ends
