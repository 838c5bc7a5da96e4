"""eagleray: serverless functions, features, models and serving graphs for machine learning on Ray.

Everything public is named here; `import eagleray` itself loads none of it (nor Ray): a name is
imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eagleray import hub
    from eagleray.autoscaling.scale import Scale
    from eagleray.featurestore.definitions.aggregates import Aggregate
    from eagleray.featurestore.definitions.entity import Entity
    from eagleray.featurestore.definitions.feature_set import FeatureSet
    from eagleray.featurestore.definitions.feature_vector import FeatureVector
    from eagleray.featurestore.definitions.rules import Rule
    from eagleray.featurestore.offline.training_set import TrainingSet
    from eagleray.featurestore.store import FeatureStore
    from eagleray.functions import automl
    from eagleray.functions.evaluation.threshold import Capacity, Cost
    from eagleray.functions.function import Function, function
    from eagleray.functions.grpc.grpc_client import GrpcClient
    from eagleray.functions.models.gate import Gate
    from eagleray.functions.models.model import Model
    from eagleray.functions.models.model_registry import ModelRegistry
    from eagleray.functions.models.reason_codes import ReasonCodes
    from eagleray.functions.runs.current_run import current_run, log_artifact, log_metric, log_param
    from eagleray.functions.runs.job import Job
    from eagleray.functions.runs.schedule import Schedule
    from eagleray.functions.runs.tracked_run import TrackedRun
    from eagleray.graphs.flows.event import Event
    from eagleray.graphs.flows.step import Step
    from eagleray.graphs.graph import Graph
    from eagleray.graphs.monitoring.action import Action
    from eagleray.graphs.monitoring.alert import Alert
    from eagleray.graphs.monitoring.monitor import Monitor
    from eagleray.graphs.pipelines.pipeline import Pipeline
    from eagleray.graphs.pipelines.pipeline_run import PipelineRun
    from eagleray.graphs.serving.endpoint import Endpoint
    from eagleray.hub.library.describe.function import describe
    from eagleray.runtime.errors import (
        DefinitionError,
        DeploymentError,
        EaglerayError,
        FeatureNotFound,
        FeatureSetNotFound,
        Fenced,
        HubItemNotFound,
        InputError,
        LogFull,
        ModelMismatch,
        ModelNotFound,
        NotFoundError,
        PinNotFound,
        PromotionRefused,
        ServerUnavailable,
        StorageError,
    )
    from eagleray.runtime.progress import track
    from eagleray.runtime.resources import Resources
    from eagleray.runtime.retries import Retries
    from eagleray.runtime.schedule import Timing
    from eagleray.runtime.secret import Secret
    from eagleray.runtime.session import session
    from eagleray.runtime.settings import Settings

__version__ = "0.1.0"
__all__ = [
    "Action",
    "Aggregate",
    "Alert",
    "Capacity",
    "Cost",
    "DefinitionError",
    "DeploymentError",
    "EaglerayError",
    "Endpoint",
    "Entity",
    "Event",
    "FeatureNotFound",
    "FeatureSet",
    "FeatureSetNotFound",
    "FeatureStore",
    "FeatureVector",
    "Fenced",
    "Function",
    "Gate",
    "Graph",
    "GrpcClient",
    "HubItemNotFound",
    "InputError",
    "Job",
    "LogFull",
    "Model",
    "ModelMismatch",
    "ModelNotFound",
    "ModelRegistry",
    "Monitor",
    "NotFoundError",
    "PinNotFound",
    "Pipeline",
    "PipelineRun",
    "PromotionRefused",
    "ReasonCodes",
    "Resources",
    "Retries",
    "Rule",
    "Scale",
    "Schedule",
    "Secret",
    "ServerUnavailable",
    "Settings",
    "Step",
    "StorageError",
    "Timing",
    "TrackedRun",
    "TrainingSet",
    "automl",
    "current_run",
    "describe",
    "function",
    "hub",
    "log_artifact",
    "log_metric",
    "log_param",
    "session",
    "track",
]

# Where each public name lives. tests/test_house.py holds this table, the imports above and __all__ together.
_HOMES = {
    "Action": "eagleray.graphs.monitoring.action",
    "Aggregate": "eagleray.featurestore.definitions.aggregates",
    "Alert": "eagleray.graphs.monitoring.alert",
    "Capacity": "eagleray.functions.evaluation.threshold",
    "Cost": "eagleray.functions.evaluation.threshold",
    "DefinitionError": "eagleray.runtime.errors",
    "DeploymentError": "eagleray.runtime.errors",
    "EaglerayError": "eagleray.runtime.errors",
    "Endpoint": "eagleray.graphs.serving.endpoint",
    "Entity": "eagleray.featurestore.definitions.entity",
    "Event": "eagleray.graphs.flows.event",
    "FeatureNotFound": "eagleray.runtime.errors",
    "FeatureSet": "eagleray.featurestore.definitions.feature_set",
    "FeatureSetNotFound": "eagleray.runtime.errors",
    "FeatureStore": "eagleray.featurestore.store",
    "FeatureVector": "eagleray.featurestore.definitions.feature_vector",
    "Fenced": "eagleray.runtime.errors",
    "Function": "eagleray.functions.function",
    "Gate": "eagleray.functions.models.gate",
    "Graph": "eagleray.graphs.graph",
    "GrpcClient": "eagleray.functions.grpc.grpc_client",
    "HubItemNotFound": "eagleray.runtime.errors",
    "InputError": "eagleray.runtime.errors",
    "Job": "eagleray.functions.runs.job",
    "LogFull": "eagleray.runtime.errors",
    "Model": "eagleray.functions.models.model",
    "ModelMismatch": "eagleray.runtime.errors",
    "ModelNotFound": "eagleray.runtime.errors",
    "ModelRegistry": "eagleray.functions.models.model_registry",
    "Monitor": "eagleray.graphs.monitoring.monitor",
    "NotFoundError": "eagleray.runtime.errors",
    "PinNotFound": "eagleray.runtime.errors",
    "Pipeline": "eagleray.graphs.pipelines.pipeline",
    "PipelineRun": "eagleray.graphs.pipelines.pipeline_run",
    "PromotionRefused": "eagleray.runtime.errors",
    "ReasonCodes": "eagleray.functions.models.reason_codes",
    "Resources": "eagleray.runtime.resources",
    "Retries": "eagleray.runtime.retries",
    "Rule": "eagleray.featurestore.definitions.rules",
    "Scale": "eagleray.autoscaling.scale",
    "Schedule": "eagleray.functions.runs.schedule",
    "Secret": "eagleray.runtime.secret",
    "ServerUnavailable": "eagleray.runtime.errors",
    "Settings": "eagleray.runtime.settings",
    "Step": "eagleray.graphs.flows.step",
    "StorageError": "eagleray.runtime.errors",
    "Timing": "eagleray.runtime.schedule",
    "TrackedRun": "eagleray.functions.runs.tracked_run",
    "TrainingSet": "eagleray.featurestore.offline.training_set",
    "current_run": "eagleray.functions.runs.current_run",
    "describe": "eagleray.hub.library.describe.function",
    "function": "eagleray.functions.function",
    "log_artifact": "eagleray.functions.runs.current_run",
    "log_metric": "eagleray.functions.runs.current_run",
    "log_param": "eagleray.functions.runs.current_run",
    "session": "eagleray.runtime.session",
    "track": "eagleray.runtime.progress",
}
# Public names that are modules themselves.
_MODULES = {"automl": "eagleray.functions.automl", "hub": "eagleray.hub"}

if not TYPE_CHECKING:  # a type checker reads the imports above, so that a misspelt name stays an error

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
        elif name in _MODULES:
            value = import_module(_MODULES[name])
        else:
            raise AttributeError(f"module 'eagleray' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
