"""Reading one feature set: from the stored values of some keys to the features that a vector wants of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..definitions.wanted import Wanted
from ..state.columns import Column, listed, put_numbers
from ..state.finalize import Finalizer, Values
from ..state.packed import Opener, foreign, straight
from ..state.row_codec import has_tail, unpack_tail, vector_size
from ..state.states import decode
from ..state.tiles import window_state
from ..state.window_read import Found, Group, WindowPlan, readable

_KINDS = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "int32": "<i4", "bool": "|u1"}


@dataclass(frozen=True, slots=True)
class Run:
    """Plain features of one numeric type that lie side by side in every value, so that one array holds them."""

    kind: str
    at: int  # their first byte in a value's head
    first: int  # their first place among the set's plain features
    names: tuple[str, ...]
    places: slice | list[int]  # their columns in the vector


class SetPlan:
    """How one set is read; compiled once for a vector, `names` being the vector's columns in order."""

    def __init__(self, item: Wanted, names: Sequence[str]) -> None:
        self.applied = item.applied
        layout = item.applied.layout
        self.opener = Opener(layout)
        self.columns = {ref.feature: ref.column for ref in item.refs}
        windowed = [feature for feature in layout.windowed if feature.name in self.columns]
        self.listed = tuple(feature for feature in windowed if not readable(feature))
        fixed = [feature for feature in windowed if readable(feature)]
        self.windows = WindowPlan(layout, fixed) if fixed else None
        wanted = [
            (place, self.columns[name], dtype)
            for place, (name, dtype) in enumerate(layout.plain)
            if name in self.columns
        ]
        self.dtypes = tuple(dtype for _, dtype in layout.plain)
        self.types = {ref.column: item.applied.feature_types[ref.feature] for ref in item.refs}
        self.places = {name: names.index(name) for name in self.columns.values()}
        # By group of windows: which of its stacks and windows are wanted, and their columns in the vector.
        self.grouped = [self._taken(group) for group in (self.windows.groups if self.windows is not None else ())]
        self.runs = self._runs([entry for entry in wanted if entry[2] in _KINDS])
        self.others = tuple(entry for entry in wanted if entry[2] not in _KINDS)
        self.tailed = any(has_tail(dtype) for _, _, dtype in self.others)

    def _taken(self, group: Group) -> tuple[slice | list[int], slice | list[int]]:
        taken = [
            (place * group.windows + at, self.places[self.columns[feature.name]])
            for place, stack in enumerate(group.stacks)
            for at, feature in stack.features
        ]
        return straight([at for at, _ in taken]), straight([place for _, place in taken])

    def _runs(self, wanted: list[tuple[int, str, str]]) -> tuple[Run, ...]:
        runs: list[list[tuple[int, str, str]]] = []
        for entry in wanted:
            if runs and runs[-1][-1][0] + 1 == entry[0] and runs[-1][-1][2] == entry[2]:
                runs[-1].append(entry)
            else:
                runs.append([entry])
        made = []
        for run in runs:
            first, _, dtype = run[0]
            names = tuple(name for _, name, _ in run)
            columns = straight([self.places[name] for name in names])
            made.append(Run(_KINDS[dtype], self.opener.places[f"f{first}"], first, names, columns))
        return tuple(made)


class SetRows:
    """One set's features for some requests, worked out when asked for; raises `StorageError` on foreign bytes."""

    def __init__(self, plan: SetPlan, packed: Sequence[bytes | None], asked_us: NDArray[np.int64] | int) -> None:
        self._plan = plan
        self._packed = packed
        self._asked_us = asked_us
        self._opened = plan.opener.open(packed)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The last offset that each key's value has seen, -1 for a key that is not stored."""
        offsets: NDArray[np.int64] = self._opened.head["last_offset"].astype(np.int64)
        return offsets

    @cached_property
    def moments_us(self) -> NDArray[np.int64]:
        """The moment each row is true of: when it was asked, or just after a newest event that is later."""
        moments: NDArray[np.int64] = np.maximum(self._asked_us, self._opened.head["max_ts_us"] + 1)
        return moments

    def fill(self, matrix: NDArray[np.float64]) -> None:
        """Writes the features, which must be numbers, into their columns of rows x names; null as NaN."""
        nulls = self._nulls if self._plan.runs else None
        for run in self._plan.runs:
            numbers = self._opened.table(run.kind, run.at, len(run.names))
            if nulls is not None:
                numbers = numbers.astype(np.float64)
                numbers[nulls[:, run.first : run.first + len(run.names)]] = np.nan
            matrix[:, run.places] = numbers
        for found, (taken, places) in zip(self._found, self._plan.grouped, strict=True):
            matrix[:, places] = found.numbers().swapaxes(0, 1).reshape(len(matrix), -1)[:, taken]
        for name, column in self._lists.items():
            put_numbers(matrix, self._plan.places[name], column)

    def lists(self) -> dict[str, list[object]]:
        """The features as lists, None for null; times as datetimes."""
        made: dict[str, list[object]] = {}
        for run in self._plan.runs:
            made.update(zip(run.names, self._table(run).T.tolist(), strict=True))
        nulls = self._nulls if self._plan.runs else None
        if nulls is not None:
            for run in self._plan.runs:
                for place, name in enumerate(run.names, run.first):
                    for row in np.flatnonzero(nulls[:, place]).tolist():
                        made[name][row] = None
        for name, column in (self._others() | self._windows).items():
            made[name] = listed(column, self._plan.types[name])
        return made

    def columns(self) -> dict[str, Column]:
        """The features by the vector's names."""
        made: dict[str, Column] = self._others() | self._windows
        nulls = self._nulls if self._plan.runs else None
        for run in self._plan.runs:
            table = np.array(self._table(run))
            present = np.ones(table.shape, dtype=bool)
            if nulls is not None:
                present = ~nulls[:, run.first : run.first + len(run.names)]
                table[~present] = 0
            for place, name in enumerate(run.names):
                made[name] = Values(np.ascontiguousarray(table[:, place]), present[:, place])
        return made

    def _table(self, run: Run) -> NDArray[Any]:
        table = self._opened.table(run.kind, run.at, len(run.names))
        return table.view(bool) if run.kind == "|u1" else table

    @property
    def _windows(self) -> dict[str, Column]:
        made: dict[str, Column] = dict(self._lists)
        for found in self._found:
            for stack in found.group.stacks:
                for feature, values in found.windows(stack):
                    made[self._plan.columns[feature.name]] = values
        return made

    @cached_property
    def _found(self) -> list[Found]:
        windows = self._plan.windows
        return list(windows.read(self._opened, self.moments_us)) if windows is not None else []

    @cached_property
    def _lists(self) -> dict[str, Column]:
        """The windowed features whose state is lists."""
        plan, layout = self._plan, self._plan.applied.layout
        if not plan.listed:
            return {}
        states, q_us = decode(self._packed, layout), self.moments_us
        merged = {
            (window, ring): Finalizer(window_state(states.rings[ring], layout.rings[ring], window, q_us))
            for window, ring in dict.fromkeys((feature.window, feature.ring) for feature in plan.listed)
        }
        return {
            plan.columns[feature.name]: merged[feature.window, feature.ring].values(feature) for feature in plan.listed
        }

    @cached_property
    def _nulls(self) -> NDArray[np.bool_] | None:
        """Rows x plain features, True where there is no value or it has expired; None where nothing is null."""
        nulls, ttl_us = self._opened.nulls, self._plan.applied.ttl_us
        if ttl_us is None:
            return nulls
        expired = self.moments_us - self._opened.head["ts_us"] > ttl_us
        if nulls is None:
            return np.repeat(expired[:, None], len(self._plan.dtypes), axis=1) if expired.any() else None
        both: NDArray[np.bool_] = nulls | expired[:, None]
        return both

    def _others(self) -> dict[str, Column]:
        """Times, text, lists and vectors."""
        made: dict[str, Column] = {}
        if not self._plan.others:
            return made
        rows, nulls = self._opened.head["row"], self._nulls
        tails = self._tails() if self._plan.tailed else {}
        for place, name, dtype in self._plan.others:
            null = None if nulls is None else nulls[:, place]
            slots = rows[f"f{place}"]
            if dtype == "timestamp":
                present = np.ones(len(slots), dtype=bool) if null is None else ~null
                made[name] = Values(np.where(present, slots, 0), present)
            else:
                objects = slots.tolist() if vector_size(dtype) is not None else tails[place]
                made[name] = objects if null is None else _without(objects, null)
        return made

    def _tails(self) -> dict[int, list[object]]:
        """The wanted columns of text and lists; a null one has an empty tail."""
        rows, nulls = self._opened.head["row"], self._opened.nulls
        wanted = {place for place, _, _ in self._plan.others}
        ends = np.full(len(rows), self._plan.opener.size, dtype=np.int64)
        made: dict[int, list[object]] = {}
        for place, dtype in enumerate(self._plan.dtypes):
            if not has_tail(dtype):
                continue
            begins, ends = ends, ends + rows[f"f{place}"]
            if place in wanted:
                there = [True] * len(rows) if nulls is None else (~nulls[:, place]).tolist()
                spans = zip(self._opened.values, begins.tolist(), ends.tolist(), there, strict=True)
                try:
                    made[place] = [unpack_tail(v[b:e], dtype) if here else None for v, b, e, here in spans]
                except (ValueError, struct.error) as error:
                    raise foreign() from error
        return made


def _without(column: list[object], null: NDArray[np.bool_]) -> list[object]:
    return [None if gone else value for value, gone in zip(column, null.tolist(), strict=True)]
