"""What can be known to be wrong about a graph before it runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...runtime.errors import DefinitionError, ModelMismatch, did_you_mean
from .choices import Named, Weighted
from .frame_hints import check_framed
from .neighbours import check_types
from .queue_cut import check_queues
from .reasons import check_reasons
from .step import Step, walk
from .subjects import is_async

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
# How many of each kind one chain may hold; routes are chains of their own.
_ONCE = ("enrich", "predict", "explain")


def check_name(name: str) -> None:
    """The name becomes the path of the service; raises `DefinitionError`."""
    if not _NAME.fullmatch(name):
        raise DefinitionError(f"a graph cannot be called {name!r}: use lower-case letters, digits, '_' and '-'")


def check_state(graph: str, step: Step) -> None:
    """Whether the function of a state step can be one; raises `DefinitionError`."""
    if is_async(step.subject):
        raise DefinitionError(
            f"{graph}: state {step.name!r} may run twice, and quickly: give a plain function, not async"
        )
    called = step.subject.__call__ if isinstance(step.subject, type) else step.subject
    try:
        names = [name for name in inspect.signature(called).parameters if name != "self"]
    except (TypeError, ValueError):
        return
    if len(names) != 2:
        raise DefinitionError(
            f"{graph}: state {step.name!r} takes {', '.join(names) or 'nothing'}; it is given (state, body)"
        )


def check_steps(graph: str, steps: Sequence[Step]) -> None:
    """Whether these steps make a graph; raises `DefinitionError` or `ModelMismatch`."""
    seen: set[str] = set()
    for step in walk(steps):
        if step.name in seen:
            raise DefinitionError(f"{graph}: two steps are called {step.name!r}; give one another name with name=")
        seen.add(step.name)
    check_queues(graph, steps)
    _check_chain(graph, steps, ())


def _check_chain(graph: str, steps: Sequence[Step], before: Sequence[Step]) -> None:
    """One chain, which comes after the steps `before`."""
    for place, step in enumerate(steps):
        earlier = steps[:place]
        if earlier and earlier[-1].kind == "respond":
            raise DefinitionError(f"{graph}: nothing may follow respond(), but {step.name!r} does; move it before")
        if before and step.kind == "respond":
            raise DefinitionError(f"{graph}: respond() ends the graph, not a way of {before[-1].name!r}; move it there")
        _check_order(graph, step, earlier, [*before, *earlier])
        _check_features(graph, step, [*before, *earlier])
        check_types(graph, [*before, *earlier], step)
        check_framed(graph, step)
        _check_routes(graph, step)
        for _, route in step.routes:
            _check_chain(graph, route, [*before, *earlier, _without_routes(step)])


def _check_order(graph: str, step: Step, earlier: Sequence[Step], before: Sequence[Step]) -> None:
    for other in earlier:
        if other.kind == step.kind and step.kind in _ONCE:
            raise DefinitionError(f"{graph}: {step.kind} {step.name!r} comes after {other.name!r}; a chain holds one")
    if step.kind == "enrich" and any(other.kind == "predict" for other in earlier):
        raise DefinitionError(f"{graph}: enrich {step.name!r} comes after predict, which needs it; put it before")
    if step.kind == "explain" and not any(other.kind == "predict" for other in walk(before)):
        raise DefinitionError(f"{graph}: explain needs a prediction to explain; put predict before it")
    if step.kind == "explain":
        check_reasons(graph, step, before)
    silent = [other for other in before if other.kind == "predict" and not getattr(other.subject, "explains", True)]
    if step.kind == "explain" and silent:
        raise DefinitionError(
            f"{graph}: the score of {silent[0].name!r} has no exact contributions, as boosted trees and linear models "
            "of one score have; for others of one score give predict(..., background=rows), which it then samples"
        )


def _check_features(graph: str, step: Step, before: Sequence[Step]) -> None:
    if step.kind == "enrich" and step.options.defaults:
        names = vector_names(step.subject)
        for name, _ in step.options.defaults if names is not None else ():
            if names is not None and name not in names:
                raise DefinitionError(f"{graph}: no feature {name!r} in {step.subject.name}{did_you_mean(name, names)}")
    enrich = next((other for other in reversed(before) if other.kind == "enrich"), None)
    if step.kind != "predict" or enrich is None or isinstance(step.subject, str):
        return
    names = vector_names(enrich.subject)
    wanted = getattr(step.subject, "features", None)
    if names is not None and wanted is not None:
        check_features(graph, names, wanted)


def _check_routes(graph: str, step: Step) -> None:
    ways = [way for way, _ in step.routes]
    if step.kind in ("router", "parallel") and len(ways) < 2:
        raise DefinitionError(f"{graph}: {step.kind} {step.name!r} has {len(ways)} way; give it at least two")
    rule = step.subject
    if isinstance(rule, Named) and rule.default is not None and rule.default not in ways:
        raise DefinitionError(f"{graph}: {step.name!r} has no way {rule.default!r}{did_you_mean(rule.default, ways)}")
    if isinstance(rule, Weighted):
        weights = dict(rule.weights)
        for way in weights:
            if way not in ways:
                raise DefinitionError(f"{graph}: {step.name!r} has no way {way!r}{did_you_mean(way, ways)}")
        for way in ways:
            if not weights.get(way):
                raise DefinitionError(f"{graph}: way {way!r} of {step.name!r} is never taken: give it a weight above 0")
    if step.kind == "parallel":
        _check_parallel(graph, step)


def _check_parallel(graph: str, step: Step) -> None:
    for way, route in step.routes:
        if any(one.kind == "flatten" for one in walk(route)):
            raise DefinitionError(
                f"{graph}: way {way!r} of {step.name!r} flattens, so it cannot be joined; do it after"
            )
    scoring = [way for way, route in step.routes if any(one.kind == "predict" for one in walk(route))]
    if len(scoring) > 1 and step.subject is None:
        raise DefinitionError(
            f"{graph}: {' and '.join(map(repr, scoring))} of {step.name!r} both predict; give the step a join=, "
            "or use an ensemble"
        )


def _without_routes(step: Step) -> Step:
    """The step as those inside it see it: what its routes do is not done before them."""
    return Step(step.kind, step.name, None)


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


def check_fit(graph: str, steps: Sequence[Step], names: Mapping[str, Sequence[str]]) -> None:
    """Whether every model fits the features it is given; `names` are those of each vector, by its name."""
    _check_fit(graph, steps, names, None)


def _check_fit(
    graph: str, steps: Sequence[Step], names: Mapping[str, Sequence[str]], given: Sequence[str] | None
) -> None:
    for step in steps:
        if step.kind == "enrich":
            given = names.get(step.subject.name)
        elif step.kind == "predict" and given is not None:
            check_features(graph, given, step.subject.features)
        for _, route in step.routes:
            _check_fit(graph, route, names, given)


def vector_names(vector: Any) -> tuple[str, ...] | None:
    """The features of a vector as far as its declaration tells: None when it says `SET:*`."""
    refs = vector.refs() if hasattr(vector, "refs") else None
    if refs is None or any(ref.feature == "*" for ref in refs):
        return None
    return (*vector.request, *(ref.column for ref in refs), *vector.on_demand_columns)
