"""Who answers a request while two versions of a service run: a share goes to the canary, a copy to the shadow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import DefinitionError

WHOLE = 100.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """`canary_percent` of the requests go to `canary_url`, and a copy of the others to `shadow_url`; empty: neither."""

    canary_url: str = ""
    canary_percent: float = 0.0
    shadow_url: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.canary_percent) and 0 <= self.canary_percent <= WHOLE):
            raise DefinitionError(f"canary of {self.canary_percent} %: give a share from 0 to 100")

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> Traffic:
        """Read back from what `as_config` gave; nothing is the whole traffic to the stable version."""
        return cls(**config) if config else cls()

    def as_config(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "canary_url": self.canary_url,
            "canary_percent": self.canary_percent,
            "shadow_url": self.shadow_url,
        }

    @property
    def is_split(self) -> bool:
        """True when some request concerns another version than the stable one."""
        return bool(self.canary_url and self.canary_percent) or bool(self.shadow_url)


class Share:
    """Says yes to exactly `percent` of the calls, evenly spread: every tenth for 10, not one in ten by luck."""

    __slots__ = ("_due", "_percent")

    def __init__(self, percent: float) -> None:
        self._percent = percent
        self._due = 0.0

    def take(self) -> bool:
        """True when this call belongs to the share."""
        self._due += self._percent
        if self._due < WHOLE:
            return False
        self._due -= WHOLE
        return True
