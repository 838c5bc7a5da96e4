"""How a router chooses: by a name, or by shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ...runtime.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Named:
    """A field of the body, or a function, names the way; `default` is taken for names that are no way."""

    by: str | Callable[..., Any]
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Weighted:
    """Each way has a share; the event's id, or the field `by`, decides."""

    weights: tuple[tuple[str, float], ...]
    by: str = ""

    @classmethod
    def of(cls, weights: Mapping[str, float], *, by: str = "") -> Self:
        """Checked shares; raises `DefinitionError`."""
        for way, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise DefinitionError(f"the weight of {way!r} is {weight!r}: give a number, not negative")
        if not sum(weights.values()):
            raise DefinitionError("all weights are 0: nobody would be sent anywhere")
        return cls(tuple(weights.items()), by)
