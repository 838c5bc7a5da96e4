"""How many replicas a service may have, and how much work each should hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..runtime.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Scale:
    """Between `min` and `max` replicas, so that each has about `target` requests in flight.

    More load must last `up_delay_s` before replicas are added and less load `down_delay_s` before some go; with
    `min=0` the last one goes after `idle_delay_s` without a request (default: `down_delay_s`). Raises
    `DefinitionError`.
    """

    min: int = 1
    max: int = 1
    target: float = 8.0
    up_delay_s: float = 2.0
    down_delay_s: float = 30.0
    idle_delay_s: float | None = None

    def __post_init__(self) -> None:
        if self.min < 0 or self.max < 1 or self.min > self.max:
            raise DefinitionError(
                f"Scale(min={self.min}, max={self.max}) holds no count: give 0 <= min <= max and max >= 1"
            )
        if not (math.isfinite(self.target) and self.target > 0):
            raise DefinitionError(f"Scale(target={self.target}): give requests in flight per replica, above 0")
        for name in ("up_delay_s", "down_delay_s", "idle_delay_s"):
            delay_s = getattr(self, name)
            if delay_s is not None and not (math.isfinite(delay_s) and delay_s >= 0):
                raise DefinitionError(f"Scale({name}={delay_s}): give seconds, 0 or more")

    @property
    def window_s(self) -> float:
        """The time over which load is averaged: short enough to notice it within the delay up."""
        return min(10.0, max(1.0, self.up_delay_s))
