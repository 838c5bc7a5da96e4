"""How the demo trains: search, and past the gate only a model that is better than the champion takes its place."""

from __future__ import annotations

from collections.abc import Callable

from eagleray import Gate, ModelRegistry, Pipeline, PromotionRefused, Settings, TrainingSet, automl

MEASURE = "average_precision"
CHAMPION = "models:/fraud@champion"


def training(rows: TrainingSet, *, settings: Settings, profile: bytes, on_progress: Callable[[str], None]) -> Pipeline:
    """The pipeline, with the seconds to search as its parameter; `profile` of the features travels with the model."""
    registry = ModelRegistry(settings)

    def search(budget_s: float) -> str:
        """Searches, judged on the last of the days; the model, registered as this version, keeps the rows' pins."""
        options = automl.AutoMLOptions(
            workers=2,
            model_name="fraud",
            attachments={"profile.bin": profile},
            settings=settings,
            on_trial=lambda trial: on_progress(f"trial {trial.number}: {trial.learner} {trial.value:.3f}"),
        )
        return automl.fit(rows, label="is_fraud", budget_s=budget_s, time_column="ts", options=options).model.version

    def promote(version: str) -> str:
        """Makes it the champion; tells why not where the gate stops it."""
        try:
            registry.promote("fraud", version=version, alias="champion", gates=[Gate(MEASURE, better_than="champion")])
        except PromotionRefused as refused:
            return str(refused)
        return ""

    p = Pipeline("train-fraud")
    p.step(promote, p.step(search, p.parameter("budget_s", 20.0)))
    return p
