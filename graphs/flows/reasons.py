"""The reasons of a decision, as a graph answers them and as they are kept with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ...functions.models.reason_codes import ReasonCodes, decided
from ...runtime.errors import DefinitionError
from .event import Event
from .ports import Floats
from .step import Step, walk

FIELDS = ("reasons", "reasons_version")


def told(event: Event, parts: Floats, given: ReasonCodes | None) -> dict[str, Any]:
    """`reasons` (code, text, contribution) and `reasons_version`; nothing where there are no reason codes.

    Those of the explain step count, or else those that the model carries. `parts` has the base value last.
    """
    codes = given or getattr(event.model, "reasons", None)
    if codes is None:
        return {}
    pushes = parts[:-1]
    is_positive = decided(event.score, pushes, getattr(event.model, "threshold", None))
    found = codes.of(event.names, pushes, is_positive=is_positive)
    return {"reasons": [asdict(one) for one in found], "reasons_version": codes.version}


def kept(event: Event) -> tuple[str, ...]:
    """The version and the codes, for the log of decisions; empty where no step has found reasons."""
    if "reasons_version" not in event.values:
        return ()
    return (event.values["reasons_version"], *(one["code"] for one in event.values["reasons"]))


def given_at(steps: Sequence[Step]) -> ReasonCodes | None:
    """The reason codes of the graph's explain step."""
    found = next((step.subject for step in walk(steps) if step.kind == "explain" and step.subject is not None), None)
    return found if isinstance(found, ReasonCodes) else None


def are_told(steps: Sequence[Step]) -> bool:
    """Whether answers hold reasons: an explain step is there, and it or a model has reason codes."""
    kinds = [step.kind for step in walk(steps)]
    carried = any(getattr(step.subject, "reasons", None) for step in walk(steps) if step.kind == "predict")
    return "explain" in kinds and (carried or given_at(steps) is not None)


def check_reasons(graph: str, step: Step, before: Sequence[Step]) -> None:
    """Whether an explain step's codes fit the models before it; raises `DefinitionError`."""
    if step.subject is None:
        return
    for other in walk(before):
        features = getattr(other.subject, "features", None)
        if other.kind == "predict" and features is not None:
            try:
                step.subject.check(tuple(features))
            except DefinitionError as error:
                raise DefinitionError(f"{graph}: {error}") from None
