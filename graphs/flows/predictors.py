"""What a predict step is given, as something that predicts: a model of any library, or the address of one.

The library is told by the name of the type's module, so that none is imported that the user has not.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from ...functions.models.sampled_shapley import SampledShapley
from ...runtime.errors import DefinitionError, InputError
from ...runtime.settings import Settings
from .ensemble import Ensemble, Members
from .ports import Predictor

_LIBRARIES = ("xgboost", "lightgbm", "sklearn", "mlflow")


def declared(graph: str, model: Any, features: Sequence[str] = ()) -> Any:
    """An address as it is, a model as a `Predictor`; raises `DefinitionError` for what is neither."""
    if isinstance(features, str):
        raise DefinitionError(f"{graph}: features={features!r}: give the names in a list, in the model's order")
    if isinstance(model, str):
        if not model.startswith("models:/"):
            raise DefinitionError(f"{graph}: no model address {model!r}; write 'models:/NAME@ALIAS'")
        return model
    library = _library(type(model))
    if not library and hasattr(model, "features") and hasattr(model, "predict"):
        if features and tuple(features) != tuple(model.features):
            raise DefinitionError(
                f"{graph}: the model knows its features: {tuple(model.features)}; leave features= out"
            )
        return model
    if not library and not hasattr(model, "predict"):
        raise DefinitionError(f"{graph}: {model!r} is no model; give a model or 'models:/NAME@ALIAS'")
    # What has a predict of its own is taken to predict in scikit-learn's manner, as most libraries do.
    adapter = importlib.import_module(f"...functions.models.{library or 'sklearn'}_predictor", __package__)
    try:
        return adapter.predictor(model, features)
    except DefinitionError as error:
        raise DefinitionError(f"{graph}: {error}") from None


def explained(graph: str, model: Any, background: Any) -> Any:
    """The model, whose contributions are sampled over the background; raises `DefinitionError`."""
    if isinstance(model, str) or getattr(model, "explains", hasattr(model, "explain")):
        raise DefinitionError(f"{graph}: what {model!r} predicts has contributions of its own; leave background= out")
    columns = getattr(background, "columns", None)
    if columns is not None:
        if lacking := [name for name in model.features if name not in columns]:
            raise DefinitionError(
                f"{graph}: the background lacks {lacking[:8]}, which the model takes; add the columns"
            )
        background = background[list(model.features)]
    try:
        return SampledShapley(model, background)
    except (InputError, TypeError, ValueError) as error:
        raise DefinitionError(f"{graph}: {error}") from None


def declared_together(graph: str, models: Mapping[str, Any], combine: Any, weights: Any) -> Members | Ensemble:
    """An ensemble of models, or `Members` while one is only an address; raises `DefinitionError`."""
    try:
        members = Members.of(
            {name: declared(graph, model) for name, model in models.items()}, combine=combine, weights=weights
        )
        if any(isinstance(model, str) for _, model in members.models):
            return members
        return members.ready(lambda model: model)
    except DefinitionError as error:
        raise DefinitionError(f"{graph}: {error}") from None


def predictor(model: Any, settings: Settings | None, features: Sequence[str] = ()) -> Predictor:
    """The model itself, looked up where it is an address; raises `ModelNotFound`, `DefinitionError`."""
    if isinstance(model, Members):
        return model.ready(lambda one: predictor(one, settings))
    if not isinstance(model, str):
        found: Predictor = model
        return found
    from ...functions.models.model_registry import ModelRegistry

    made: Predictor = ModelRegistry(settings or Settings.from_env()).predictor(model, features)
    return made


def _library(kind: type) -> str:
    """The first library among the type and what it derives from; empty for none."""
    modules = (parent.__module__.partition(".")[0] for parent in kind.__mro__)
    return next((name for name in modules if name in _LIBRARIES), "")
