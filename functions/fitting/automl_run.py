"""A finished search, and how it is tracked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import orjson
import polars as pl

from ...runtime.settings import Settings
from ..evaluation.evaluation import Evaluation
from ..evaluation.report import Report, report
from ..models.model import Model
from ..models.model_registry import ModelRegistry
from ..models.refit import Part
from ..runs.run import Run, Tracker
from ..training.learner import Learner
from .automl_options import AutoMLOptions


@dataclass(frozen=True, slots=True)
class AutoMLRun:
    """A finished search: the model (registered when tracked), every trial, and what the model came to.

    `recipe` is what the model was made of, for `refit`. `metrics` are those of `evaluation`: of models that were not
    fitted on the judged rows; the model itself is fitted on all rows.
    """

    model: Model
    recipe: tuple[Part, ...]
    leaderboard: pl.DataFrame = field(repr=False)
    metrics: Mapping[str, float]
    run_id: str
    seconds: float
    evaluation: Evaluation = field(repr=False)
    about: Mapping[str, str | float] = field(default_factory=dict, repr=False)
    learners: Mapping[str, Learner] = field(default_factory=dict, repr=False)

    def report(self) -> Report:
        """The evaluation as one HTML page with plots, for a notebook or `.save(path)`; the tracked run has it, too."""
        return report(self.evaluation, title=f"Model {self.model.name}", about=self.about)


class RunStore:
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

    def write(self, found: AutoMLRun, *, options: AutoMLOptions) -> Model:
        """Logs the run and registers the model; the model with its version and run."""
        self._thread.join()
        if self._problem is not None:
            raise self._problem
        known = {name: value for name, value in found.metrics.items() if np.isfinite(value)}
        run = self._tracker.log(
            Run(
                experiment=options.experiment,
                name=found.model.name,
                params=found.about,
                metrics={**known, "trials": float(found.leaderboard.height)},
                tags=options.tags,
                artifacts={
                    "leaderboard.csv": found.leaderboard.write_csv().encode(),
                    "evaluation.json": orjson.dumps(found.evaluation.to_dict(), option=orjson.OPT_INDENT_2),
                    "report.html": found.report().html.encode(),
                },
            )
        )
        registry = ModelRegistry(options.settings or Settings.from_env(), store=self._tracker)
        return registry.register(found.model, run_id=run.id)
