"""What a predict step is given, as something that predicts: a model, or the address of one."""

from __future__ import annotations

from typing import Any

from ...runtime.errors import DefinitionError
from ...runtime.settings import Settings
from .ports import Predictor


def check_model(graph: str, model: Any) -> None:
    """Raises `DefinitionError` for what is no model."""
    if isinstance(model, str):
        if not model.startswith("models:/"):
            raise DefinitionError(f"{graph}: no model address {model!r}; write 'models:/NAME@ALIAS'")
    elif not (hasattr(model, "features") and hasattr(model, "predict")):
        raise DefinitionError(f"{graph}: {model!r} is no model; give a Model or 'models:/NAME@ALIAS'")


def predictor(model: Any, settings: Settings | None) -> Predictor:
    """The model itself, looked up where it is an address; raises `ModelNotFound`."""
    if not isinstance(model, str):
        found: Predictor = model
        return found
    from ...functions.model_registry import ModelRegistry

    return ModelRegistry(settings or Settings.from_env()).load(model)
