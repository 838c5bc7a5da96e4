"""One call from a table to a registered model: search, ensemble, final fit, evaluation, tracking."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Literal

import polars as pl

from ..runtime.settings import Settings
from .evaluation.evaluation import judge
from .evaluation.metric import Task
from .evaluation.splits import Split
from .evaluation.task import fitting
from .fitting.automl_options import DEFAULTS, AutoMLOptions, check_options
from .fitting.automl_question import Question, asked
from .fitting.automl_run import AutoMLRun, RunStore
from .fitting.automl_search import Found, searched
from .fitting.forecast import as_regression, forecast
from .fitting.handed import handed
from .fitting.table_input import Tabular, opened, taken
from .fitting.whole_fit import fit_whole
from .forecasting.horizon import Horizon
from .forecasting.series import Columns
from .models.feature_profile import profile_of
from .models.model import Member, Model
from .models.origin import Origin, origin_of
from .models.permutation_importance import permutation_importance
from .models.refit import Part, fit_parts
from .runs.tracking import tracker
from .training.ensemble import mixed
from .training.judging import judged_rows, notes
from .training.learner import Choice, Fitted, Fold, Learner, LogInteger, LogUniform, Uniform
from .training.sample import Plan
from .training.search import leaderboard

__all__ = [
    "AutoMLOptions", "AutoMLRun", "Choice", "Fitted", "Fold", "Horizon", "Learner", "LogInteger", "LogUniform",
    "Uniform", "fit", "forecast", "permutation_importance", "refit",
]  # fmt: skip


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
    one: average_precision, rmse, ndcg; "ndcg_10" counts each query's first 10 places. Raises `InputError` for a table
    or an option that cannot work and for one that leaks the label, `ServerUnavailable` where Ray or MLflow cannot be
    reached.
    """
    check_options(budget_s, options, task=task)
    if task == "forecast":
        if metric is not None:
            fitting(metric, task=task)
        whole_table = taken(opened(table), Plan(sys.maxsize, label, groups, None, options.seed)).table
        pinned = replace(options, pins=options.pins or handed(table).pins)  # the table made of the series has none
        made, chosen = as_regression(whole_table, Columns(label, time_column or "", groups), pinned)
        run = fit(made.table, label=label, task="regression", metric=metric, budget_s=budget_s, options=chosen)
        return replace(run, about=dict(run.about) | made.about)
    split = Split(
        options.validation_fraction, time_column, options.validation_column, options.seed, groups,
        options.validation_gap, options.test_fraction,
    )  # fmt: skip
    question = asked(table, label=label, task=task, metric=metric, budget_s=budget_s, split=split, options=options)
    origin = origin_of(options.pins or question.told.pins)
    settings = options.settings or Settings.from_env()
    store = RunStore(tracker(settings)) if options.track else None
    found = searched(question, budget_s=budget_s, settings=settings)
    run = _run(question, found, origin=origin, budget_s=budget_s)
    every, journal, began = question.every, found.journal, found.began
    del question, found  # the sample as numbers: the final fit needs the room
    run = fit_whole(run, every, seed=options.seed)
    model = run.model if store is None else store.write(run, options=options)
    if journal is not None:
        journal.remove()
    return replace(run, model=model, run_id=model.run_id, seconds=time.monotonic() - began)


def _run(question: Question, found: Found, *, origin: Origin, budget_s: float) -> AutoMLRun:
    """What was found, judged, with its model."""
    prepared, options, features = question.prepared, question.options, question.features
    fold, table, search = prepared.fold, question.table, found.tuning.search
    judged = judged_rows(table, prepared, question.split, found.by)
    importance = mixed(found.tuning.importance, found.shares)
    evaluation = replace(
        judge(
            judged, metric=question.metric.name, calibration=options.calibration, threshold=options.threshold,
            segment_by=options.segments, seed=options.seed,
        ),
        importance={name: float(importance[i]) for i, name in enumerate(features)},
        notes=notes(table, features, prepared, judged, question.outer),
    )  # fmt: skip
    trials = {trial.number: trial for trial in search.trials}
    recipe = tuple(Part(trials[n].learner, trials[n].config, trials[n].rounds, found.shares[n]) for n in found.boosters)
    learners = question.learners
    model = Model(
        name=options.model_name or question.label,
        task=fold.task,
        label=question.label,
        features=features,
        members=tuple(
            Member(part.learner, learners[part.learner].booster(data), part.weight, learners[part.learner].SUFFIX)
            for part, data in zip(recipe, found.boosters.values(), strict=True)
        ),
        metrics=evaluation.metrics,
        signature={name: str(table[name].dtype) for name in features},
        feature_vector=options.feature_vector or question.told.vector,
        attachments=options.attachments,
        calibration=evaluation.calibration,
        threshold=evaluation.threshold.value if evaluation.threshold else None,
        intervals=evaluation.intervals,
        origin=origin,
        reasons=options.reasons,
        profile=profile_of(fold.x, features),
    )
    best, groups = search.ranking[0], question.split.groups
    about: dict[str, str | float] = {
        "label": question.label, "metric": question.metric.name, "budget_s": budget_s, "seed": options.seed,
        "features": len(features), "rows": len(fold.y), "validation_rows": len(prepared.y_valid),
        "judged_on": evaluation.source, "judged_rows": len(evaluation.labels),
        "members": len(found.boosters), "learner": best.learner, "rounds": best.rounds, **best.config,
    } | ({"groups": groups} if groups and fold.task == "ranking" else {})  # fmt: skip
    return AutoMLRun(
        model=model,
        recipe=recipe,
        leaderboard=leaderboard(search.trials, metric=question.metric),
        metrics=evaluation.metrics,
        run_id="",
        seconds=0.0,
        evaluation=evaluation,
        about=about,
        learners=learners,
    )


def refit(run: AutoMLRun, table: pl.DataFrame, *, seed: int = 0) -> Model:
    """What the search chose, fitted on other rows of the same columns (a later week, say), in this process.

    Neither searched nor tracked: the model has no version; calibration and threshold stay.
    Raises `InputError` for a table that lacks a column.
    """
    return fit_parts(
        run.recipe, run.model, table, learners=run.learners, groups=str(run.about.get("groups", "")), seed=seed
    )
