"""Which tracker is the default."""

from __future__ import annotations

from ..runtime.settings import Settings
from .run import Tracker


def tracker(settings: Settings) -> Tracker:
    """The tracker that `settings.tracking` names; MLflow's client is loaded when it is first used."""
    from .mlflow_tracking import MLflowTracker

    return MLflowTracker(settings)
