"""What a vector wants of each feature set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...runtime.errors import DefinitionError
from ...runtime.units import duration_us
from .catalog import AppliedSet
from .feature_vector import FeatureRef, FeatureVector


@dataclass(frozen=True, slots=True)
class Ahead:
    """How a label is read: `after_us` behind its row's moment, where None is the newest value that is known.

    Of moments past `until_us`, the set's newest event, nothing is known yet.
    """

    after_us: int | None
    until_us: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The features of one set that a vector reads; with `ahead` they are its label."""

    applied: AppliedSet
    refs: tuple[FeatureRef, ...]
    ahead: Ahead | None = None

    @property
    def ttl_us(self) -> int | None:
        """How long a latest value holds; a label does for ever."""
        return None if self.ahead else self.applied.ttl_us


def resolve(vector: FeatureVector, applied_of: Callable[[str], AppliedSet]) -> list[Wanted]:
    """The vector's features by set, `*` spelled out; raises `FeatureSetNotFound`, `FeatureNotFound`."""
    by_set: dict[str, list[FeatureRef]] = {}
    for ref in vector.refs():
        applied = applied_of(ref.set_name)
        if ref.feature == "*":
            by_set.setdefault(ref.set_name, []).extend(FeatureRef(ref.set_name, name) for name in applied.feature_types)
        else:
            applied.check_feature(ref.feature)
            by_set.setdefault(ref.set_name, []).append(ref)
    return [Wanted(applied_of(name), tuple(refs)) for name, refs in by_set.items()]


def resolve_label(
    vector: FeatureVector, applied_of: Callable[[str], AppliedSet], until_us: Callable[[AppliedSet], int]
) -> list[Wanted]:
    """The vector's label where a set has it, else nothing; `until_us` tells a set's newest event.

    Raises `FeatureSetNotFound`, `FeatureNotFound`, `DefinitionError` for a window that looks ahead no known time.
    """
    ref = vector.label_ref
    if ref is None:
        return []
    applied = applied_of(ref.set_name)
    applied.check_feature(ref.feature)
    if vector.label_after is None and any(feature.name == ref.feature for feature in applied.layout.windowed):
        raise DefinitionError(
            f"{vector.name}: the label {vector.label!r} is a window; say how long after a row it ends: label_after='7d'"
        )
    if vector.label_after is None and f"{ref.set_name}:*" in vector.features:
        raise DefinitionError(
            f"{vector.name}: '{ref.set_name}:*' reads the label {vector.label!r}, too; name the features one by one"
        )
    after_us = None if vector.label_after is None else duration_us(vector.label_after)
    return [Wanted(applied, (ref,), Ahead(after_us, until_us(applied)))]
