"""A call packed to be run as a job, now or at some other time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PackedJob:
    """`python -m module` in a folder with the pickled call; `needs` are what it takes, in Ray's words."""

    name: str
    module: str
    packed: bytes = field(repr=False)
    needs: Mapping[str, float] = field(default_factory=dict)
    custom: Mapping[str, float] = field(default_factory=dict)
