"""One call from a table to a registered model: search, ensemble, final fit, tracking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ..runtime.errors import InputError
from ..runtime.settings import Settings
from .budget import Budget
from .ensemble import choose, link
from .evaluate import measure
from .evaluate import metric as metric_named
from .learner import LEARNERS, Fold, learner
from .model import Member, Model
from .model_registry import ModelRegistry
from .refit import Part, fit_parts
from .run import Run, Tracker
from .search import Search, Trial, leaderboard
from .tracking import tracker
from .trainer import Pool
from .training_table import Split, features_of, to_fold
from .tune import Tuning

_CLOSING_S = 1.0


@dataclass(frozen=True, slots=True)
class AutoMLOptions:
    """What can be set beside label, metric, budget and time column.

    `ignore`: columns that are no features (keys, texts). `validation_column`: a Boolean column that is true
    where a row judges, false where it teaches, null where it is left out. `workers`: None for one a CPU of
    the cluster. `ensemble_size`: up to so many boosters are averaged where that judges as well as the best
    alone; 1 for the fastest predictions. `model_name`: empty for the label's name. `attachments`: bytes that
    travel with the model, by file name. `on_trial` is called with each finished trial. `track` False keeps
    everything in this process.
    """

    learners: Sequence[str] = tuple(LEARNERS)
    ignore: Sequence[str] = ()
    validation_fraction: float = 0.2
    validation_column: str | None = None
    ensemble_size: int = 3
    workers: int | None = None
    seed: int = 0
    experiment: str = "automl"
    model_name: str = ""
    feature_vector: str = ""
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    track: bool = True
    settings: Settings | None = None
    on_trial: Callable[[Trial], None] | None = None


@dataclass(frozen=True, slots=True)
class AutoMLRun:
    """A finished search: the model (registered when tracked), every trial, and what the model came to.

    `recipe` is what the model was made of, for `refit`. `metrics` are those of the model on the validation rows,
    before its final fit on all rows.
    """

    model: Model
    recipe: tuple[Part, ...]
    leaderboard: pl.DataFrame = field(repr=False)
    metrics: Mapping[str, float]
    run_id: str
    seconds: float


def fit(
    table: pl.DataFrame,
    *,
    label: str,
    metric: str = "average_precision",
    budget_s: float = 60.0,
    time_column: str | None = None,
    options: AutoMLOptions = AutoMLOptions(),
) -> AutoMLRun:
    """Searches learners and their settings for `budget_s` seconds, Ray's workers' start and the final fit included.

    Every numeric or Boolean column beside label, time column and `options.ignore` is a feature. With a time
    column the latest rows judge, else a random part of each class. Where the budget is too short for one
    trial, one is still made. Raises `InputError` for a table or an option that cannot work,
    `ServerUnavailable` where Ray or MLflow cannot be reached.
    """
    began = time.monotonic()
    if not budget_s > 0:
        raise InputError(f"budget_s is {budget_s}: give the seconds to search, above zero")
    if not options.learners:
        raise InputError(f"options.learners is empty: name some of {', '.join(LEARNERS)}")
    if options.workers is not None and options.workers < 1:
        raise InputError(f"options.workers is {options.workers}: give at least 1, or None for one a CPU")
    if options.ensemble_size < 1:
        raise InputError(f"options.ensemble_size is {options.ensemble_size}: give at least 1")
    learners = {name: learner(name) for name in options.learners}
    split = Split(options.validation_fraction, time_column, options.validation_column, options.seed)
    features = features_of(table, label=label, split=split, ignore=options.ignore)
    fold = to_fold(table, features, label=label, metric_name=metric, split=split)
    settings = options.settings or Settings.from_env()
    store = _Store(tracker(settings)) if options.track else None

    from .flaml_search import factory

    search = Search(
        {name: one.space(fold.train_rows) for name, one in learners.items()},
        starts={name: one.starts(fold.train_rows) for name, one in learners.items()},
        metric=metric_named(metric),
        seed=options.seed,
    )
    search.use(factory())
    pool = _ray_pool(fold, options, settings)
    tuning = Tuning(
        pool=pool,
        search=search,
        budget=Budget(budget_s, closing_s=_CLOSING_S if store else 0.2, growth=len(fold.y) / fold.train_rows),
        metric=metric_named(metric),
        labels=fold.y_valid,
        clock=lambda: time.monotonic() - began,
        members=options.ensemble_size,
        seed=options.seed,
    )
    try:
        tuning.run(options.on_trial)
        chosen, _ = choose(
            [trial.number for trial in search.ranking],
            margins=tuning.margins, labels=fold.y_valid, metric=metric_named(metric),
            most=options.ensemble_size,
        )  # fmt: skip
        boosters = tuning.refit(chosen)
    finally:
        pool.close()

    margins = np.mean([tuning.margins[number] for number in boosters], axis=0)
    metrics = measure(fold.task, fold.y_valid, link(margins, fold.task))
    trials = {trial.number: trial for trial in search.trials}
    recipe = tuple(Part(trials[n].learner, trials[n].config, trials[n].rounds) for n in boosters)
    model = Model(
        name=options.model_name or label,
        task=fold.task,
        label=label,
        features=features,
        members=tuple(
            Member(part.learner, learners[part.learner].booster(data), 1.0 / len(recipe))
            for part, data in zip(recipe, boosters.values(), strict=True)
        ),
        metrics=metrics,
        signature={name: str(table[name].dtype) for name in features},
        feature_vector=options.feature_vector,
        attachments=options.attachments,
    )
    board = leaderboard(search.trials, metric=metric_named(metric))
    if store is not None:
        best = search.ranking[0]
        about = {
            "label": label, "metric": metric, "budget_s": budget_s, "seed": options.seed,
            "features": len(features), "rows": len(fold.y), "validation_rows": len(fold.y_valid),
            "members": len(boosters), "learner": best.learner, "rounds": best.rounds, **best.config,
        }  # fmt: skip
        model = store.write(model, options=options, params=about, board=board)
    return AutoMLRun(
        model=model,
        recipe=recipe,
        leaderboard=board,
        metrics=metrics,
        run_id=model.run_id,
        seconds=time.monotonic() - began,
    )


def refit(run: AutoMLRun, table: pl.DataFrame, *, seed: int = 0) -> Model:
    """What the search chose, fitted on other rows of the same columns (a later week, say), in this process.

    Neither searched nor tracked: the model has no version. Raises `InputError` for a table that lacks a column.
    """
    return fit_parts(run.recipe, run.model, table, seed=seed)


class _Store:
    """The tracker, made ready in a thread while the search runs: importing MLflow takes seconds."""

    def __init__(self, made: Tracker) -> None:
        self._tracker = made
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._warm_up, name="eagleray-tracker", daemon=True)
        self._thread.start()

    def _warm_up(self) -> None:
        try:
            self._tracker.warm_up()
        except BaseException as problem:  # noqa: BLE001 - raised again by `write`, in the caller's thread
            self._problem = problem

    def write(
        self, model: Model, *, options: AutoMLOptions, params: Mapping[str, str | float], board: pl.DataFrame
    ) -> Model:
        """Logs the run and registers the model; the model with its version and run."""
        self._thread.join()
        if self._problem is not None:
            raise self._problem
        run = self._tracker.log(
            Run(
                experiment=options.experiment,
                name=model.name,
                params=params,
                metrics={**model.metrics, "trials": float(board.height)},
                tags=options.tags,
                artifacts={"leaderboard.csv": board.write_csv().encode()},
            )
        )
        registry = ModelRegistry(options.settings or Settings.from_env(), store=self._tracker)
        return registry.register(model, run_id=run.id)


def _ray_pool(fold: Fold, options: AutoMLOptions, settings: Settings) -> Pool:
    from ..runtime import ray_cluster

    ray_cluster.connect(settings)
    from .ray_trainer import RayPool

    return RayPool(fold, learners=options.learners, workers=options.workers)
