"""One call from a table to a registered model: search, ensemble, final fit, evaluation, tracking."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import polars as pl

from ..runtime.errors import InputError
from ..runtime.settings import Settings
from .automl_options import DEFAULTS, AutoMLOptions, check_options
from .automl_run import AutoMLRun, RunStore
from .evaluation.evaluation import check_segments, judge
from .evaluation.metric import Task
from .evaluation.splits import Split
from .evaluation.task import aim
from .evaluation.threshold import Capacity
from .feature_profile import profile_of
from .forecast import as_regression, forecast
from .forecasting.horizon import Horizon
from .forecasting.series import Columns
from .handed import Handed, handed
from .model import Member, Model
from .origin import origin_of
from .refit import Part, fit_parts
from .resumed import journal_of
from .table_input import Tabular, bound_bytes, check_label_window, opened, taken
from .tracking import tracker
from .training.budget import Budget
from .training.ensemble import mixed
from .training.judging import judged_rows, notes
from .training.learner import Choice, Fitted, Fold, Learner, LogInteger, LogUniform, Uniform, by_name
from .training.nested import nested, outer_portions
from .training.sample import Plan
from .training.search import Search, leaderboard
from .training.stacking import weighing_s, weighted
from .training.trainer import Pool, Portion
from .training.training_table import features_of, prepare
from .training.tune import Tuning
from .watched import watched
from .whole_fit import fit_whole

__all__ = [
    "AutoMLOptions", "AutoMLRun", "Choice", "Fitted", "Fold", "Horizon", "Learner", "LogInteger", "LogUniform",
    "Uniform", "fit", "forecast", "refit",
]  # fmt: skip

_CLOSING_S = 1.0
_JUDGING_S, _JUDGING_ROW_S = 0.4, 5e-6  # intervals, calibration, report; for each row that judges
_NESTED_SHARE = 0.3  # of the budget, where the table is small


def fit(
    table: Tabular,
    *,
    label: str,
    task: Task | Literal["forecast"] | None = None,
    metric: str | None = None,
    budget_s: float = 60.0,
    time_column: str | None = None,
    groups: str | None = None,
    options: AutoMLOptions = DEFAULTS,
) -> AutoMLRun:
    """Searches learners and their settings for `budget_s` seconds, with the workers' start, final fit and evaluation.

    The table is a Polars, pandas or Arrow frame, a training set, a lazy frame, a path of Parquet or a Ray Dataset. One
    that is more than `options.memory_bytes` allow is searched over, and judged, by a sample; then comes, on top of the
    budget, the final fit on all rows.
    Every numeric or Boolean column beside label, time column, groups and `options.ignore` is a feature; of a training
    set the features of its vector are, and the model keeps the vector's name and the pins. With a time
    column the latest rows judge; else rows of one of the `groups` stay on one side; else a random part of
    each class judges. Intervals respect the groups in either case. Where the budget is too short for one
    trial, one is still made.

    `task` "forecast" reads series: the values of `label` at the times of `time_column`, one series for each of the
    `groups`, and what is known ahead in the other columns; it is judged by the last `options.horizon` of each series,
    and `forecast(run.model, history)` tells what comes next. In "ranking" the label is
    a grade, a whole number from 0, and `groups` the column that the rows of a query share: queries stay whole, and the
    model gives scores that order a query's rows. Otherwise `task` is "classification" or "regression"; None
    is told from the metric, or else from the label (0 and 1 or Booleans are classes). `metric` None is the task's usual
    one: average_precision, rmse, ndcg. Raises `InputError` for a table or an option that cannot work and for one that
    leaks the label, `ServerUnavailable` where Ray or MLflow cannot be reached.
    """
    told = handed(table)
    origin = origin_of(options.pins or told.pins)
    check_options(budget_s, options, task=task)
    if task == "forecast":
        whole_table = taken(opened(table), Plan(sys.maxsize, label, groups, None, options.seed)).table
        pinned = replace(options, pins=origin.pins)
        made, chosen = as_regression(whole_table, Columns(label, time_column or "", groups), pinned)
        found = fit(made.table, label=label, task="regression", metric=metric, budget_s=budget_s, options=chosen)
        return replace(found, about=dict(found.about) | made.about)
    check_label_window(table, time_column=time_column, gap=options.validation_gap)
    every = taken(
        opened(table),
        Plan(bound_bytes(options.memory_bytes), label, groups, options.validation_column, options.seed),
    )  # fmt: skip
    table = every.table
    began = time.monotonic()
    check_segments(table, options.segments)
    learners = by_name(options.learners)
    split = Split(
        options.validation_fraction, time_column, options.validation_column, options.seed, groups,
        options.validation_gap, options.test_fraction,
    )  # fmt: skip
    features = features_of(table, label=label, split=split, ignore=_aside(table, options, (label, *split.names), told))
    judged_by = aim(table[label], task=task, metric_name=metric)
    metric = judged_by.name
    if options.reasons is not None:
        options.reasons.check(features)
    prepared = prepare(table, features, label=label, metric_name=metric, split=split, trusted=options.trusted)
    if options.threshold is not None and prepared.fold.task != "classification":
        raise InputError("a threshold is for classes: leave options.threshold out, or give a metric of classification")
    if isinstance(options.threshold, Capacity) and (time_column is None or not table[time_column].dtype.is_temporal()):
        raise InputError("a capacity is so many cases a period: give a time_column of dates or times")
    fold, main = prepared.fold, prepared.portion()
    judged_by = judged_by.of_queries(prepared.queries_valid)
    outer = outer_portions(table, prepared, split, options.folds)
    settings = options.settings or Settings.from_env()
    store = RunStore(tracker(settings)) if options.track else None

    from .training.flaml_search import factory

    def search() -> Search:
        made = Search(
            {name: one.space(fold.train_rows) for name, one in learners.items()},
            starts={name: one.starts(fold.train_rows) for name, one in learners.items()},
            metric=judged_by,
            seed=options.seed,
        )
        made.use(factory())
        return made

    judging = len(fold.y) if outer else prepared.test_rows or len(prepared.y_valid)
    closing_s = (_CLOSING_S if store else 0.2) + _JUDGING_S + _JUDGING_ROW_S * judging
    closing_s += weighing_s(len(prepared.y_valid), most=options.ensemble_size)
    fits = len(fold.y) + (prepared.known_rows if prepared.test_rows else 0)
    whole = Budget(budget_s, closing_s, growth=fits / fold.train_rows, trials=options.trials)
    if options.deterministic:
        whole = whole.timeless(fold.x.shape)
    journal = journal_of(
        fold, settings, options,
        {"label": label, "metric": metric, "budget_s": budget_s, "time_column": time_column, "groups": groups},
    )  # fmt: skip
    began -= journal.elapsed_s if journal else 0.0
    pool = _ray_pool(fold, options, settings, (*outer, main) if main else outer)
    tuning = Tuning(
        pool=pool,
        search=search(),
        budget=replace(whole, total_s=whole.total_s * (1 - _NESTED_SHARE), closing_s=0.0) if outer else whole,
        journal=journal,
        metric=judged_by,
        labels=prepared.y_valid,
        clock=lambda: time.monotonic() - began,
        members=options.ensemble_size,
        seed=options.seed,
        portion=len(outer) if main else None,
    )
    watch = contextlib.ExitStack()
    try:
        watch.enter_context(watched(tuning, ends_s=whole.total_s, wanted=options.progress))
        tuning.run(options.on_trial)
        shares = weighted(
            [trial.number for trial in tuning.search.ranking],
            margins=tuning.margins, labels=prepared.y_valid, metric=judged_by, most=options.ensemble_size,
            seed=options.seed,
        )  # fmt: skip
        held = tuning.held(shares) if prepared.test_rows else None
        boosters = tuning.refit(list(shares))
        crossed = nested(
            outer, prepared=prepared, pool=pool, search=search, metric=judged_by, clock=tuning.clock,
            budget=whole,
        ) if outer else None  # fmt: skip
    finally:
        watch.close()
        pool.close()
        if journal is not None:
            journal.close()

    shares = {number: shares[number] / sum(shares[n] for n in boosters) for number in boosters}
    margins = mixed(tuning.margins, shares)
    by = held if held is not None else crossed if crossed else margins
    judged = judged_rows(table, prepared, split, by)
    evaluation = judge(
        judged, metric=metric, calibration=options.calibration, threshold=options.threshold,
        segment_by=options.segments, seed=options.seed,
    )  # fmt: skip
    importance = mixed(tuning.importance, shares)
    evaluation = replace(
        evaluation,
        importance={name: float(importance[i]) for i, name in enumerate(features)},
        notes=notes(table, features, prepared, judged, outer),
    )
    trials = {trial.number: trial for trial in tuning.search.trials}
    recipe = tuple(Part(trials[n].learner, trials[n].config, trials[n].rounds, shares[n]) for n in boosters)
    model = Model(
        name=options.model_name or label,
        task=fold.task,
        label=label,
        features=features,
        members=tuple(
            Member(part.learner, learners[part.learner].booster(data), part.weight, learners[part.learner].SUFFIX)
            for part, data in zip(recipe, boosters.values(), strict=True)
        ),
        metrics=evaluation.metrics,
        signature={name: str(table[name].dtype) for name in features},
        feature_vector=options.feature_vector or told.vector,
        attachments=options.attachments,
        calibration=evaluation.calibration,
        threshold=evaluation.threshold.value if evaluation.threshold else None,
        intervals=evaluation.intervals,
        origin=origin,
        reasons=options.reasons,
        profile=profile_of(fold.x, features),
    )
    best = tuning.search.ranking[0]
    about: dict[str, str | float] = {
        "label": label, "metric": metric, "budget_s": budget_s, "seed": options.seed,
        "features": len(features), "rows": len(fold.y), "validation_rows": len(prepared.y_valid),
        "judged_on": evaluation.source, "judged_rows": len(evaluation.labels),
        "members": len(boosters), "learner": best.learner, "rounds": best.rounds, **best.config,
    } | ({"groups": groups} if groups and fold.task == "ranking" else {})  # fmt: skip
    run = AutoMLRun(
        model=model,
        recipe=recipe,
        leaderboard=leaderboard(tuning.search.trials, metric=judged_by),
        metrics=evaluation.metrics,
        run_id="",
        seconds=0.0,
        evaluation=evaluation,
        about=about,
        learners=learners,
    )
    run = fit_whole(run, every, seed=options.seed)
    model = run.model
    if store is not None:
        model = store.write(run, options=options)
    if journal is not None:
        journal.remove()
    return replace(run, model=model, run_id=model.run_id, seconds=time.monotonic() - began)


def refit(run: AutoMLRun, table: pl.DataFrame, *, seed: int = 0) -> Model:
    """What the search chose, fitted on other rows of the same columns (a later week, say), in this process.

    Neither searched nor tracked: the model has no version; calibration and threshold stay.
    Raises `InputError` for a table that lacks a column.
    """
    return fit_parts(
        run.recipe, run.model, table, learners=run.learners, groups=str(run.about.get("groups", "")), seed=seed
    )


def _aside(table: pl.DataFrame, options: AutoMLOptions, needed: Sequence[str], told: Handed) -> tuple[str, ...]:
    """What is no feature: segments may be texts, and are still no mistake."""
    texts = [n for n in options.segments if not (table[n].dtype.is_numeric() or table[n].dtype == pl.Boolean)]
    return (*options.ignore, *texts, *told.beside(table.columns, needed))


def _ray_pool(fold: Fold, options: AutoMLOptions, settings: Settings, portions: Sequence[Portion]) -> Pool:
    from ..runtime import ray_cluster

    ray_cluster.connect(settings)
    from .training.ray_trainer import RayPool

    return RayPool(
        fold, learners=options.learners, workers=1 if options.deterministic else options.workers, portions=portions
    )
