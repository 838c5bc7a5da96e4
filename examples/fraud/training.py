"""How the demo trains: search, compare with the champion, and only a better model takes its place."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from eagleray import ModelNotFound, ModelRegistry, Pipeline, Settings, automl

MEASURE = "average_precision"
CHAMPION = "models:/fraud@champion"


def training(
    table: pl.DataFrame, *, settings: Settings, profile: bytes, on_progress: Callable[[str], None]
) -> Pipeline:
    """The pipeline, with the seconds to search as its parameter; `profile` of the features travels with the model."""
    registry = ModelRegistry(settings)

    def search(budget_s: float) -> dict[str, str | float]:
        """Searches, judged on the last of the days; the model is registered as a version."""
        options = automl.AutoMLOptions(
            workers=2,
            model_name="fraud",
            feature_vector="fraud",
            attachments={"profile.bin": profile},
            settings=settings,
            on_trial=lambda trial: on_progress(f"trial {trial.number}: {trial.learner} {trial.value:.3f}"),
        )
        found = automl.fit(table, label="is_fraud", budget_s=budget_s, time_column="ts", options=options)
        return {"version": found.model.version, MEASURE: found.metrics[MEASURE]}

    def champion() -> float:
        """What the champion came to; 0 where there is none yet."""
        try:
            return registry.load(CHAMPION).metrics[MEASURE]
        except ModelNotFound:
            return 0.0

    def is_better(found: dict[str, str | float], earlier: float) -> bool:
        return float(found[MEASURE]) > earlier

    def promote(found: dict[str, str | float]) -> None:
        registry.promote("fraud", version=str(found["version"]), alias="champion")

    p = Pipeline("train-fraud")
    found = p.step(search, p.parameter("budget_s", 20.0))
    p.step(promote, found, when=p.when(is_better, found, p.step(champion)))
    return p
