"""Which tracker, and which store of runs, is the default."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ...runtime.settings import Settings
from .run import Tracker

if TYPE_CHECKING:
    from .mlflow_runs import MLflowRuns


def tracker(settings: Settings) -> Tracker:
    """The tracker that `settings.tracking` names; MLflow's client is loaded when it is first used."""
    from .mlflow_tracking import MLflowTracker

    return MLflowTracker(settings)


@cache
def run_store(settings: Settings) -> MLflowRuns:
    """The runs of the MLflow that `settings.tracking` names; one a process, for connecting takes a while."""
    from .mlflow_client import Connection
    from .mlflow_runs import MLflowRuns

    return MLflowRuns(Connection(settings))
