"""Sight: which events a question may see, whatever their time: those that were applied, or stored, before a bound.

Where a key's events lie in the order of their time, those seen by a question form runs; an event that came late
leaves a gap. The runs are found by descending trees of minima and maxima, and whatever can be merged can be merged
over runs, so every aggregate is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..definitions.layout import Field
from ..state import fields as state
from ..state.fields import Column, Int64s
from ..state.ranges import Ranges
from .as_of import History, Spine

QUESTIONS_AT_ONCE = 200_000  # bounds what the descent holds in memory


@dataclass(frozen=True, slots=True)
class Runs:
    """Ranges of positions, by question and ascending; a question may have none or several."""

    questions: Int64s
    starts: Int64s
    ends: Int64s


class Sight:
    """What each question of a spine sees of a history: the events whose mark is below the question's bound."""

    def __init__(self, marks: Int64s, below: Int64s) -> None:
        self._below = below
        self._least, self._most = [marks], [marks]
        while len(self._least[-1]) > 1:
            self._least.append(_halved(self._least[-1], np.minimum))
            self._most.append(_halved(self._most[-1], np.maximum))

    def over(self, ranges: Ranges, wanted: Iterable[Field], starts: Int64s, ends: Int64s) -> dict[Field, Column]:
        """As `Ranges.over`, of the events seen alone; ranges stand in the order of the questions."""
        runs = self.runs(starts, ends)
        merged = ranges.over(wanted, runs.starts, runs.ends)
        if not len(runs.questions):
            return state.nothing(merged, len(starts))
        first = np.flatnonzero(np.append(True, runs.questions[1:] != runs.questions[:-1]))
        return state.spread(state.merge_runs(merged, first), runs.questions[first], len(starts))

    def newest(self, starts: Int64s, ends: Int64s) -> Int64s:
        """The last position seen of each range, -1 where nothing is."""
        runs = self.runs(starts, ends)
        rows = np.full(len(starts), -1, dtype=np.int64)
        np.maximum.at(rows, runs.questions, runs.ends - 1)
        return rows

    def runs(self, starts: Int64s, ends: Int64s) -> Runs:
        """The parts of each question's range that it sees."""
        parts = [
            self._runs(np.arange(begin, min(begin + QUESTIONS_AT_ONCE, len(starts))), starts, ends)
            for begin in range(0, len(starts), QUESTIONS_AT_ONCE)
        ]
        if not parts:
            nothing = np.zeros(0, dtype=np.int64)
            return Runs(nothing, nothing, nothing)
        columns = zip(*((part.questions, part.starts, part.ends) for part in parts), strict=True)
        return Runs(*(np.concatenate(column) for column in columns))

    def _runs(self, questions: Int64s, starts: Int64s, ends: Int64s) -> Runs:
        covers = self._covers(questions, starts[questions], ends[questions])
        seen: list[tuple[Int64s, Int64s, Int64s]] = []
        asked, nodes = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        for level in range(len(covers) - 1, -1, -1):
            asked, nodes = np.concatenate([covers[level][0], asked]), np.concatenate([covers[level][1], nodes])
            below = self._below[asked]
            whole = self._most[level][nodes] < below
            seen.append((asked[whole], nodes[whole] << level, (nodes[whole] + 1) << level))
            mixed = ~whole & (self._least[level][nodes] < below)
            asked, nodes = np.repeat(asked[mixed], 2), np.repeat(nodes[mixed] << 1, 2)
            nodes[1::2] += 1
        return _joined(*(np.concatenate(column) for column in zip(*seen, strict=True)))

    def _covers(self, questions: Int64s, low: Int64s, high: Int64s) -> list[tuple[Int64s, Int64s]]:
        # Each range as whole nodes of the tree: at most two a level.
        covers = []
        for _ in self._least:
            left = np.flatnonzero((low < high) & (low & 1 == 1))
            nodes = [low[left]]
            low[left] += 1
            right = np.flatnonzero((low < high) & (high & 1 == 1))
            high[right] -= 1
            nodes.append(high[right])
            covers.append((np.concatenate([questions[left], questions[right]]), np.concatenate(nodes)))
            low >>= 1
            high >>= 1
        return covers


def as_served(past: History, spine: Spine, sight: Sight) -> Spine:
    """The moments serving would have answered for: where it had seen a later event already, just after that one."""
    rows = sight.newest(*past.spans(spine))
    if not len(past.ts_us):
        return spine
    return replace(spine, q_us=np.where(rows >= 0, np.maximum(spine.q_us, past.ts_us[rows] + 1), spine.q_us))


def _halved(level: Int64s, pick: np.ufunc) -> Int64s:
    halves: Int64s = pick(level[: len(level) // 2 * 2 : 2], level[1::2])
    return np.append(halves, level[-1:]) if len(level) % 2 else halves


def _joined(questions: Int64s, starts: Int64s, ends: Int64s) -> Runs:
    if not len(questions):
        return Runs(questions, starts, ends)
    order: NDArray[np.intp] = np.lexsort((starts, questions))
    questions, starts, ends = questions[order], starts[order], ends[order]
    first = np.append(True, (questions[1:] != questions[:-1]) | (starts[1:] != ends[:-1]))
    places = np.flatnonzero(first)
    return Runs(questions[places], starts[places], ends[np.append(places[1:], len(ends)) - 1])
