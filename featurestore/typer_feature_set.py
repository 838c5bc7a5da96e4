"""A feature set named on the command line, FILE:SET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.errors import InputError, NotFoundError, did_you_mean

if TYPE_CHECKING:
    from .definitions.feature_set import FeatureSet

Target = Annotated[str, typer.Argument(metavar="FILE:SET", help="For instance features.py:transactions.")]


def feature_set_at(target: str) -> FeatureSet:
    """The set; raises `InputError`, `NotFoundError`."""
    from ..runtime.user_module import module_at
    from .definitions.feature_set import FeatureSet

    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise InputError(f"{target!r} names no feature set: write FILE:SET, for instance features.py:transactions")
    known = {key: value for key, value in vars(module_at(place)).items() if isinstance(value, FeatureSet)}
    if name not in known:
        raise NotFoundError(f"{place} has no feature set {name!r}{did_you_mean(name, known)}")
    return known[name]
