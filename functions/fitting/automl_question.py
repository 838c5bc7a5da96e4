"""What a search is asked: which rows teach and which judge, by which measure; checked before a worker starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from ...runtime.errors import InputError
from ..evaluation.evaluation import check_segments
from ..evaluation.metric import Metric, Task
from ..evaluation.metric import metric as by_metric
from ..evaluation.splits import Split
from ..evaluation.task import aim
from ..evaluation.threshold import Capacity
from ..training.budget import usual_trial_s
from ..training.learner import Learner, by_name, usual_learners
from ..training.nested import outer_portions
from ..training.sample import Plan, Taken
from ..training.trainer import Portion
from ..training.training_table import Prepared, features_of, prepare
from .automl_options import AutoMLOptions
from .handed import Handed, handed
from .table_input import Tabular, bound_bytes, check_label_window, opened, taken


@dataclass(frozen=True, slots=True)
class Question:
    """A search that can work: `prepared` are the rows of `every.table` as numbers, `outer` a nested search's folds.

    The budget counts from `began` (of `time.monotonic`), when the rows were in memory.
    """

    every: Taken
    told: Handed
    label: str
    features: tuple[str, ...]
    metric: Metric
    split: Split
    prepared: Prepared
    outer: tuple[Portion, ...]
    learners: Mapping[str, Learner]
    options: AutoMLOptions
    began: float

    @property
    def table(self) -> pl.DataFrame:
        """The rows that are searched over."""
        return self.every.table


def asked(
    table: Tabular, *, label: str, task: Task | None, metric: str | None, budget_s: float, split: Split,
    options: AutoMLOptions,
) -> Question:  # fmt: skip
    """The question, checked; raises `InputError`. What `options` leave open of the learners is decided."""
    told = handed(table)
    check_label_window(table, time_column=split.time_column, gap=options.validation_gap)
    plan = Plan(bound_bytes(options.memory_bytes), label, split.groups, options.validation_column, options.seed)
    every = taken(opened(table), plan)
    rows = every.table
    began = time.monotonic()
    check_segments(rows, options.segments)
    by_name(options.learners or ())  # what is named wrongly is said before anything is read
    if split.groups is None and (task == "ranking" or (metric is not None and by_metric(metric).task == "ranking")):
        raise InputError("a ranking needs groups, the column that the rows of one query share: groups='query', say")
    features = features_of(rows, label=label, split=split, ignore=_aside(rows, options, (label, *split.names), told))
    judged_by = aim(rows[label], task=task, metric_name=metric)
    if options.reasons is not None:
        options.reasons.check(features)
    prepared = prepare(rows, features, label=label, metric_name=judged_by.name, split=split, trusted=options.trusted)
    _check_threshold(rows, prepared, split, options)
    if options.learners is None:
        trials = budget_s / usual_trial_s(prepared.fold.train_rows, len(features))
        options = replace(options, learners=usual_learners(trials))
    return Question(
        every, told, label, features, judged_by.of_queries(prepared.queries_valid), split, prepared,
        outer_portions(rows, prepared, split, options.folds), by_name(options.learners or ()), options, began,
    )  # fmt: skip


def _check_threshold(table: pl.DataFrame, prepared: Prepared, split: Split, options: AutoMLOptions) -> None:
    if options.threshold is None:
        return
    if prepared.fold.task != "classification":
        raise InputError("a threshold is for classes: leave options.threshold out, or give a metric of classification")
    time_column = split.time_column
    timed = time_column is not None and table[time_column].dtype.is_temporal()
    if isinstance(options.threshold, Capacity) and not timed:
        raise InputError("a capacity is so many cases a period: give a time_column of dates or times")


def _aside(table: pl.DataFrame, options: AutoMLOptions, needed: Sequence[str], told: Handed) -> tuple[str, ...]:
    """What is no feature: segments may be texts, and are still no mistake."""
    texts = [n for n in options.segments if not (table[n].dtype.is_numeric() or table[n].dtype == pl.Boolean)]
    return (*options.ignore, *texts, *told.beside(table.columns, needed))
