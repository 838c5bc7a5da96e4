"""What a vector wants of each feature set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .catalog import AppliedSet
from .feature_vector import FeatureRef, FeatureVector


@dataclass(frozen=True, slots=True)
class Wanted:
    """The features of one set that a vector reads."""

    applied: AppliedSet
    refs: tuple[FeatureRef, ...]


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
