"""The search itself: workers, budget, journal and weights put together, until there is what a model is made of."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ...runtime.settings import Settings
from ..training.budget import Budget
from ..training.ensemble import mixed
from ..training.journal import Journal
from ..training.learner import Fold, Rows
from ..training.nested import Nested, nested
from ..training.screening import Screening, screening
from ..training.search import Search
from ..training.stacking import weighing_s, weighted
from ..training.trainer import Pool, Portion
from ..training.tune import Tuning
from .automl_options import AutoMLOptions
from .automl_question import Question
from .resumed import journal_of
from .watched import watched

_CLOSING_S = {True: 1.0, False: 0.2}  # whether the run is tracked
_JUDGING_S, _JUDGING_ROW_S = 0.4, 5e-6  # intervals, calibration, report; for each row that judges
_FEATURE_S = 3e-4  # what is told of each feature: its profile, whether it tells the label alone
_NESTED_SHARE = 0.3  # of the budget, where the table is small


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to: boosters fitted on all rows with their `shares`, by trial, and what judges them (`by`:
    margins of models that were not fitted on the judged rows)."""

    tuning: Tuning
    shares: dict[int, float]
    boosters: dict[int, bytes]
    by: Rows | Nested
    journal: Journal | None
    began: float


def searched(question: Question, *, budget_s: float, settings: Settings) -> Found:
    """Searches, weighs the best, fits them on all rows, within the budget; raises `ServerUnavailable`."""
    prepared, options = question.prepared, question.options
    fold, outer, main = prepared.fold, question.outer, prepared.portion()
    portions = (*outer, main) if main else outer
    whole = _budget(question, budget_s)
    first = _screening(question, budget_s, place=len(portions))
    split = question.split
    journal = journal_of(
        fold, settings, options,
        {
            "label": question.label, "metric": question.metric.name, "budget_s": budget_s,
            "time_column": split.time_column, "groups": split.groups,
        },
    )  # fmt: skip
    began = question.began - (journal.elapsed_s if journal else 0.0)
    pool = _ray_pool(fold, options, settings, (*portions, first.portion) if first else portions)
    tuning = Tuning(
        pool=pool,
        search=_search(question, screened=first.candidates if first else 0),
        budget=replace(whole, total_s=whole.total_s * (1 - _NESTED_SHARE), closing_s=0.0) if outer else whole,
        journal=journal,
        metric=question.metric,
        labels=prepared.y_valid,
        clock=lambda: time.monotonic() - began,
        members=options.ensemble_size,
        seed=options.seed,
        portion=len(outer) if main else None,
        screening=first,
    )
    watch = contextlib.ExitStack()
    try:
        watch.enter_context(watched(tuning, ends_s=whole.total_s, wanted=options.progress))
        tuning.run(options.on_trial)
        shares = weighted(
            [trial.number for trial in tuning.search.ranking],
            margins=tuning.margins, labels=prepared.y_valid, metric=question.metric, most=options.ensemble_size,
            seed=options.seed,
        )  # fmt: skip
        held = tuning.held(shares) if prepared.test_rows else None
        boosters = tuning.refit(list(shares))
        crossed = nested(
            outer, prepared=prepared, pool=pool, search=partial(_search, question), metric=question.metric,
            clock=tuning.clock, budget=whole,
        ) if outer else None  # fmt: skip
    finally:
        watch.close()
        pool.close()
        if journal is not None:
            journal.close()
    shares = {number: shares[number] / sum(shares[n] for n in boosters) for number in boosters}
    by = held if held is not None else crossed if crossed else mixed(tuning.margins, shares)
    return Found(tuning, shares, boosters, by, journal, began)


def _search(question: Question, *, screened: int = 0) -> Search:
    from ..training.flaml_search import factory

    rows = question.prepared.fold.train_rows
    made = Search(
        {name: one.space(rows) for name, one in question.learners.items()},
        starts={name: one.starts(rows) for name, one in question.learners.items()},
        metric=question.metric,
        seed=question.options.seed,
        screened=screened,
    )
    made.use(factory())
    return made


def _screening(question: Question, budget_s: float, *, place: int) -> Screening | None:
    options, prepared = question.options, question.prepared
    if question.outer or options.trials is not None:  # few rows; or a count that is of whole trials
        return None
    return screening(prepared.fold, known_rows=prepared.known_rows, budget_s=budget_s, seed=options.seed, place=place)


def _budget(question: Question, budget_s: float) -> Budget:
    prepared, options = question.prepared, question.options
    fold, valid = prepared.fold, len(prepared.y_valid)
    judging = len(fold.y) if question.outer else prepared.test_rows or valid
    closing_s = _CLOSING_S[options.track] + _JUDGING_S + _JUDGING_ROW_S * judging + _FEATURE_S * fold.x.shape[1]
    closing_s += weighing_s(valid, most=options.ensemble_size)
    fits = len(fold.y) + (prepared.known_rows if prepared.test_rows else 0)
    whole = Budget(budget_s, closing_s, growth=fits / fold.train_rows, trials=options.trials)
    return whole.timeless(fold.x.shape) if options.deterministic else whole


def _ray_pool(fold: Fold, options: AutoMLOptions, settings: Settings, portions: Sequence[Portion]) -> Pool:
    from ...runtime import ray_cluster

    ray_cluster.connect(settings)
    from ..training.ray_trainer import RayPool

    return RayPool(
        fold,
        learners=options.learners or (),
        workers=1 if options.deterministic else options.workers,
        portions=portions,
    )
