"""What can be known to be wrong about a graph before it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ...runtime.errors import DefinitionError, ModelMismatch
from .step import Step

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
# How many of each kind one chain may hold.
_ONCE = ("enrich", "predict", "explain", "respond")
_ROUTES = ("explain", "health", "ready", "docs", "openapi.json")


def check_name(name: str) -> None:
    """The name becomes the path of the service; raises `DefinitionError`."""
    if not _NAME.fullmatch(name):
        raise DefinitionError(f"a graph cannot be called {name!r}: use lower-case letters, digits, '_' and '-'")


def check_next(graph: str, steps: Sequence[Step], step: Step) -> None:
    """Whether `step` may follow `steps`; raises `DefinitionError` or `ModelMismatch`."""
    if steps and steps[-1].kind == "respond":
        raise DefinitionError(f"{graph}: nothing may follow respond(), but {step.name!r} does; move it before")
    for earlier in steps:
        if earlier.kind == step.kind and step.kind in _ONCE:
            raise DefinitionError(f"{graph}: {step.kind} {step.name!r} comes after {earlier.name!r}; a chain holds one")
        if earlier.name == step.name:
            raise DefinitionError(f"{graph}: two steps are called {step.name!r}; give one another name with name=")
    kinds = {earlier.kind: earlier for earlier in steps}
    if step.kind == "enrich" and "predict" in kinds:
        raise DefinitionError(f"{graph}: enrich {step.name!r} comes after predict, which needs it; put it before")
    if step.kind == "explain" and "predict" not in kinds:
        raise DefinitionError(f"{graph}: explain needs a prediction to explain; put predict before it")
    if step.kind == "predict" and "enrich" in kinds and not isinstance(step.subject, str):
        names = vector_names(kinds["enrich"].subject)
        if names is not None:
            check_features(graph, names, step.subject.features)


def check_features(graph: str, given: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where each feature a model wants lies among those given (None: in order already); raises `ModelMismatch`."""
    if tuple(given) == tuple(wanted):
        return None
    lacking = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    if lacking or unknown:
        parts = [f"the vector lacks {', '.join(lacking)}"] if lacking else []
        parts += [f"the model does not know {', '.join(unknown)}"] if unknown else []
        raise ModelMismatch(
            f"{graph}: the model does not fit the vector: {' and '.join(parts)}; "
            "use the vector it was trained on, or train it on this one"
        )
    return [list(given).index(name) for name in wanted]


def vector_names(vector: Any) -> tuple[str, ...] | None:
    """The features of a vector as far as its declaration tells: None when it says `SET:*`."""
    refs = vector.refs() if hasattr(vector, "refs") else None
    if refs is None or any(ref.feature == "*" for ref in refs):
        return None
    return (*vector.request, *(ref.column for ref in refs), *vector.on_demand_columns)
