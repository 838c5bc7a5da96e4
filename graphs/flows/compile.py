"""From a declared graph to one that runs: models looked up, readers opened, the version counted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from ...runtime.bundle import content_hash, local_modules
from ...runtime.settings import Settings
from .check import check_fit, check_steps
from .ensemble import Ensemble
from .event_codec import EventCodec
from .fields import asked
from .flow import Flow
from .learned import learned
from .outside import Outside
from .ports import Reader, TapSource
from .predictors import predictor
from .queue_cut import cut_at_queues
from .queued import Queues
from .states import MemoryStates
from .step import Declared, Step, walk
from .subjects import takes_event
from .tails_here import TailHere

if TYPE_CHECKING:
    from ...featurestore.store import FeatureStore


def resolved(graph: Declared, settings: Settings | None) -> tuple[Step, ...]:
    """The graph's steps with every model's address replaced by the model, checked against the vector.

    Raises `ModelNotFound`, `ModelMismatch`.
    """
    steps = _resolved(graph.steps, settings, _ask_scores(graph.steps))
    check_steps(graph.name, steps)
    return steps


def _resolved(steps: tuple[Step, ...], settings: Settings | None, ask_scores: bool) -> tuple[Step, ...]:
    made = []
    for step in steps:
        found = step
        if step.kind == "predict":
            model = predictor(step.subject, settings, step.fields)
            found = replace(step, subject=model.telling() if ask_scores and isinstance(model, Ensemble) else model)
        routes = tuple((way, _resolved(route, settings, ask_scores)) for way, route in step.routes)
        made.append(replace(found, routes=routes))
    return tuple(made)


def _ask_scores(steps: tuple[Step, ...]) -> bool:
    """True where somebody may look at the scores of an ensemble's members: those who see the event's values."""
    for step in walk(steps):
        if step.kind == "respond" and "scores" in step.fields:
            return True
        if step.kind not in ("enrich", "predict") and callable(step.subject) and takes_event(step.subject):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Compiled:
    """A flow, and what must be closed after it; what requests bring, as far as the steps tell."""

    flow: Flow
    opened: tuple[Any, ...] = ()
    asked: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Declared, *, store: FeatureStore | None = None, settings: Settings | None = None) -> Compiled:
        """The graph, to run in this process; opens a store of the settings when it reads features and none is given.

        Without a store, state steps remember only as long as it is open.
        """
        where = settings or (store.settings if store is not None else None)
        steps = resolved(graph, where)
        outside = Outside(states=MemoryStates() if store is None else None)
        front, tails = cut_at_queues(steps)
        codec = EventCodec(steps)
        behind: dict[str, TailHere] = {}
        outside = replace(outside, queues=Queues(codec, lambda step: behind[step.name]))
        for tail in reversed(tails):
            made = compiled(graph.name, tail.steps, rescue=graph.rescue, settings=where, store=store, outside=outside)
            behind[tail.name] = TailHere(made, codec)
        return compiled(graph.name, front, rescue=graph.rescue, settings=where, store=store, outside=outside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the flow, and taps, readers and stores that were opened for it."""
        self.flow.close()
        for resource in self.opened:
            close = getattr(resource, "close", None)
            if close is not None:
                close()


def compiled(
    name: str,
    steps: tuple[Step, ...],
    *,
    rescue: Callable[..., Any] | None = None,
    settings: Settings | None = None,
    store: FeatureStore | None = None,
    tap: TapSource | None = None,
    outside: Outside | None = None,
) -> Compiled:
    """The steps as a flow, up to the first queue; the tap is made for the features of the first model. `outside` brings
    what is not opened here."""
    steps, _ = cut_at_queues(steps)
    opened: list[Any] = []
    readers: dict[str, Reader] = {}
    for step in walk(steps):
        if step.kind != "enrich" or step.subject.name in readers:
            continue
        if hasattr(step.subject, "open_reader"):
            readers[step.subject.name] = step.subject.open_reader()
            continue
        if store is None:
            from ...featurestore.store import FeatureStore

            store = FeatureStore(settings)
            opened.append(store)
        readers[step.subject.name] = store.vector_reader(step.subject)
    check_fit(name, steps, {vector: reader.names for vector, reader in readers.items()})
    given = made = outside or Outside()
    where = store.settings if store is not None else None
    made = _on_servers(name, steps, replace(made, readers={**readers, **made.readers}), settings or where)
    if made.states is not given.states:
        opened.append(made.states)
    model = next((step.subject for step in steps if step.kind == "predict"), None)
    if tap is not None and model is not None:
        made = replace(made, tap=tap.open(tuple(model.features)))
        opened.insert(0, made.tap)
    flow = Flow(name, steps, outside=made, rescue=rescue)
    return Compiled(flow, tuple(opened), asked=asked(steps, made.readers))


def _on_servers(name: str, steps: tuple[Step, ...], outside: Outside, settings: Settings | None) -> Outside:
    """What the steps need of servers, where it was not brought."""
    kinds = {step.kind for step in walk(steps)}
    needs_states = outside.states is None and "state" in kinds
    needs_queues = outside.queues is None and "queue" in kinds
    if not (needs_states or needs_queues):
        return outside
    from .log_handoff import open_queues
    from .redis_states import namespace_of, open_states

    where = settings or Settings.from_env()
    states = open_states(where) if needs_states else outside.states
    queues = open_queues(where, name, steps, namespace=namespace_of(where)) if needs_queues else outside.queues
    return replace(outside, states=states, queues=queues)


def version(steps: tuple[Step, ...], *others: Any) -> str:
    """Twelve hex digits of the steps' content: the same code, vector and model give the same version everywhere."""
    digest = hashlib.sha256()
    for step in steps:
        digest.update(f"{_content(step)}\n".encode())
    for other in others:
        digest.update(f"{_code(other)}\n".encode())
    return digest.hexdigest()[:12]


def modules(steps: tuple[Step, ...], *others: Any) -> tuple[str, ...]:
    """The user's own modules that the steps need, to travel with them."""
    subjects = [step.subject for step in walk(steps) if step.subject is not None]
    handlers = [one for step in walk(steps) for one in (step.options.on_error, step.options.fallback) if callable(one)]
    carried = [one for subject in subjects for one in getattr(subject, "carries", ())]
    used = [item for item in (*subjects, *carried, *handlers, *others) if item is not None]
    return tuple(sorted({name for item in used for name in _modules_of(item)}))


def _modules_of(item: Any) -> tuple[str, ...]:
    return local_modules(item if isinstance(item, type) or hasattr(item, "__code__") else type(item))


def _content(step: Step) -> str:
    routes = [(way, [_content(inner) for inner in route]) for way, route in step.routes]
    options = replace(step.options, on_error=None, fallback=None)
    handlers = [_code(step.options.on_error), _code(step.options.fallback)]
    return (
        f"{step.kind}\0{step.name}\0{step.fields}\0{step.resources}\0{options}\0{handlers}\0{routes}\0{_subject(step)}"
    )


def _subject(step: Step) -> str:
    subject = step.subject
    if subject is None:
        return ""
    if step.kind == "predict":
        told = f"{getattr(subject, 'name', '')}:{getattr(subject, 'version', '')}:{subject.features}"
        return f"{told}:{learned(subject)}"
    if step.kind == "enrich":
        return f"{subject!r}:{[content_hash(function) for function, _ in getattr(subject, '_on_demand', ())]}"
    return _code(subject)


def _code(item: Any) -> str:
    """What tells one subject from another: the code of functions and classes, the spelling of anything else."""
    if isinstance(item, type) or hasattr(item, "__code__"):
        return content_hash(item)
    called = getattr(item, "by", None)  # a router's rule
    if callable(called):
        return f"{content_hash(called)}:{item.default}"
    return repr(item) if not callable(item) else content_hash(type(item))
