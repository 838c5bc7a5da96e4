"""Nested cross-validation: the search itself judged, by rows that none of its parts has seen.

Where rows are few, those that choose among many models flatter the one chosen. So the search is made anew on
each fold's other rows, and what it finds scores the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import InputError
from ..evaluation.metric import Metric
from ..evaluation.splits import Split, divide, folds
from .budget import Budget
from .ensemble import choose
from .learner import Rows
from .queries import check_queries
from .search import Search
from .trainer import Pool, Portion
from .training_table import Prepared, check_sides
from .tune import Tuning

Codes = npt.NDArray[np.int64]

SMALL_ROWS = 1_000  # below it nested is the default
FOLDS = 5
_SHORTEST_S = 0.3


@dataclass(frozen=True, slots=True)
class Nested:
    """The margins of the rows that were held out once, their places in the fold of all rows, and in which portion."""

    margins: Rows
    places: Codes
    parts: Codes


def outer_portions(table: pl.DataFrame, prepared: Prepared, split: Split, count: int | None) -> tuple[Portion, ...]:
    """A portion of the prepared fold for each of `count` folds; None for the default, which is none for large tables.

    Folds without both classes on each side are left out; none are given where fewer than two are left. Raises
    `InputError` where so many folds were asked for and there are too few rows or groups.
    """
    small = table.height < SMALL_ROWS and not split.column and not split.test_fraction
    wanted = count if count is not None else FOLDS if small else 0
    if not wanted:
        return ()
    try:
        found = _portions(table, prepared, split, wanted)
    except InputError:
        if count is not None:
            raise
        return ()
    return found if len(found) > 1 else ()


def _portions(table: pl.DataFrame, prepared: Prepared, split: Split, count: int) -> tuple[Portion, ...]:
    fold = prepared.fold
    labels = np.empty(table.height, dtype=np.float32)
    labels[prepared.rows] = fold.y
    queries = None
    if fold.queries is not None:
        queries = np.empty(table.height, dtype=np.int64)
        queries[prepared.rows] = fold.queries
    place = np.empty(table.height, dtype=np.int64)
    place[prepared.rows] = np.arange(len(prepared.rows))
    inner = replace(split, test_fraction=0.0)
    found = []
    for known, held in folds(table, labels, fold.task, split, count):
        try:
            made = divide(table[known], labels[known], fold.task, inner)
            sides = {"to learn from": known[made.teaches], "to judge by": known[made.judges]}
            check_sides(labels, fold.task, sides)
            if queries is not None:
                check_queries(str(split.groups), labels, queries, sides)
        except InputError:
            continue
        rows = np.concatenate((known[made.teaches], known[made.judges]))
        found.append(Portion(place[rows], len(made.teaches), place[held]))
    return tuple(found)


def nested(
    portions: Sequence[Portion], *, prepared: Prepared, pool: Pool, search: Callable[[], Search], metric: Metric,
    clock: Callable[[], float], budget: Budget,
) -> Nested | None:  # fmt: skip
    """Searches on each portion, its share of what is left of the whole call's budget; None where two do not fit in."""
    margins: list[Rows] = []
    done: list[int] = []
    for number, portion in enumerate(portions):
        left_s = budget.total_s - budget.closing_s - clock()
        if left_s <= 0:
            break
        fold = portion.of(prepared.fold)
        share = Budget(
            max(left_s / (len(portions) - number), _SHORTEST_S), 0.0, len(fold.y) / fold.train_rows,
            trials=None if budget.trials is None else max(1, budget.trials // len(portions)), round_s=budget.round_s,
        )  # fmt: skip
        judge = metric.of_queries(fold.queries_valid)
        tuning = Tuning(
            pool=pool, search=search(), metric=judge, labels=fold.y_valid, portion=number, members=1,
            budget=share, clock=_since(clock),
        )  # fmt: skip
        tuning.run(None)
        ranked = [trial.number for trial in tuning.search.ranking]
        chosen, _ = choose(ranked, margins=tuning.margins, labels=fold.y_valid, metric=judge, most=1)
        margins.append(tuning.held(dict.fromkeys(chosen, 1.0)))
        done.append(number)
    if len(done) < 2:
        return None
    return Nested(
        np.concatenate(margins),
        np.concatenate([np.asarray(portions[number].held) for number in done]),
        np.repeat(done, [len(one) for one in margins]),
    )


def _since(clock: Callable[[], float]) -> Callable[[], float]:
    began = clock()
    return lambda: clock() - began
