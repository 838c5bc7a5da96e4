"""What a graph takes and answers, as far as its steps tell: for those who describe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .ports import Reader
from .reasons import FIELDS, are_told
from .step import Step, walk


def asked(steps: Sequence[Step], readers: Mapping[str, Reader]) -> Mapping[str, str]:
    """The fields that requests bring, with their types: what the readers ask of them.

    Without a reader they are the features of the model, unless a step before it may make them.
    """
    found: dict[str, str] = {}
    for reader in readers.values():
        found |= getattr(reader, "asks", {})
    if readers:
        return found
    for step in steps:
        if step.kind == "predict":
            return dict.fromkeys(step.subject.features, "float64")
        if step.kind not in ("check", "tap"):
            break
    return {}


def answered(steps: Sequence[Step]) -> tuple[str, ...]:
    """The fields that are answered besides the id, by name."""
    kinds = {step.kind for step in walk(steps)}
    scored = ("score",) if "predict" in kinds else ()
    explained: tuple[str, ...] = ("contributions", "base_value") if "explain" in kinds else ()
    explained += FIELDS if are_told(steps) else ()
    return (*scored, *explained, *(name for step in steps if step.kind == "respond" for name in step.fields))
