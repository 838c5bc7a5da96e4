"""From a declared graph to one that runs: models looked up, the vector's reader opened, the version counted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from ...runtime.bundle import content_hash, local_modules
from ...runtime.settings import Settings
from .check import check_next
from .flow import Flow
from .step import Declared, Reader, Step, Tap, TapSource

if TYPE_CHECKING:
    from ...featurestore.store import FeatureStore


def resolved(graph: Declared, settings: Settings | None) -> tuple[Step, ...]:
    """The graph's steps with every model's address replaced by the model, checked against the vector.

    Raises `ModelNotFound`, `ModelMismatch`.
    """
    steps: list[Step] = []
    for step in graph.steps:
        found = step
        if step.kind == "predict" and isinstance(step.subject, str):
            from ...functions.model_registry import ModelRegistry

            found = replace(step, subject=ModelRegistry(settings or Settings.from_env()).load(step.subject))
        check_next(graph.name, steps, found)
        steps.append(found)
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A flow, and what must be closed after it."""

    flow: Flow
    opened: tuple[Any, ...] = ()

    @classmethod
    def of(cls, graph: Declared, *, store: FeatureStore | None = None, settings: Settings | None = None) -> Compiled:
        """The graph, to run in this process; opens a store of the settings when it reads features and none is given."""
        where = settings or (store.settings if store is not None else None)
        return compiled(graph.name, resolved(graph, where), settings=where, store=store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes taps, readers and stores that were opened for the flow."""
        for resource in self.opened:
            close = getattr(resource, "close", None)
            if close is not None:
                close()


def compiled(
    name: str,
    steps: tuple[Step, ...],
    *,
    settings: Settings | None = None,
    store: FeatureStore | None = None,
    tap: TapSource | None = None,
) -> Compiled:
    """The steps as a flow; the tap is made for the model's features."""
    opened: list[Any] = []
    vector = next((step.subject for step in steps if step.kind == "enrich"), None)
    reader: Reader | None = None
    if vector is not None and hasattr(vector, "open_reader"):
        reader = vector.open_reader()
    elif vector is not None:
        if store is None:
            from ...featurestore.store import FeatureStore

            store = FeatureStore(settings)
            opened.append(store)
        reader = store.vector_reader(vector)
    made: Tap | None = None
    model = next((step.subject for step in steps if step.kind == "predict"), None)
    if tap is not None and model is not None:
        made = tap.open(tuple(model.features))
        opened.insert(0, made)
    return Compiled(Flow(name, steps, reader=reader, tap=made), tuple(opened))


def version(steps: tuple[Step, ...]) -> str:
    """Twelve hex digits of the steps' content: the same code, vector and model give the same version everywhere."""
    digest = hashlib.sha256()
    for step in steps:
        content = f"{step.kind}\0{step.name}\0{step.fields}\0{step.resources}\0{_content(step)}\n"
        digest.update(content.encode())
    return digest.hexdigest()[:12]


def modules(steps: tuple[Step, ...], *others: Any) -> tuple[str, ...]:
    """The user's own modules that the steps need, to travel with them."""
    subjects = [step.subject for step in steps if step.subject is not None]
    return tuple(sorted({name for item in (*subjects, *others) for name in _modules_of(item)}))


def _modules_of(item: Any) -> tuple[str, ...]:
    return local_modules(item if isinstance(item, type) or hasattr(item, "__code__") else type(item))


def _content(step: Step) -> str:
    subject = step.subject
    if subject is None:
        return ""
    if step.kind == "predict":
        return (
            f"{getattr(subject, 'name', '')}:{getattr(subject, 'version', '')}:{subject.features}:{_weights(subject)}"
        )
    if step.kind == "enrich":
        return f"{subject!r}:{[content_hash(function) for function, _ in getattr(subject, '_on_demand', ())]}"
    return content_hash(subject if isinstance(subject, type) or hasattr(subject, "__code__") else type(subject))


def _weights(model: Any) -> str:
    """What a model has learned, as text to hash: a model may be trained again under the same name and version."""
    members = getattr(model, "members", None)
    if members is None:
        return content_hash(type(model))
    return repr([(m.learner, m.weight, hashlib.sha256(m.booster.data).hexdigest()) for m in members])
