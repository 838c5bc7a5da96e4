"""When a call that went wrong runs again."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from .errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Retries:
    """A call whose worker was lost runs again up to `attempts` times; so does one that raised an error listed in `on`.

    Before an error's retry its worker waits `backoff_s`, `factor` times longer each time, at most `max_backoff_s`; a
    random part of up to half of that is left out, so that calls that failed together do not return together. Raises
    `DefinitionError`.
    """

    attempts: int = 3
    on: tuple[type[Exception], ...] = ()
    backoff_s: float = 1.0
    factor: float = 2.0
    max_backoff_s: float = 30.0

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 0:
            raise DefinitionError(f"retries={self.attempts!r}; give a whole number, 0 for none")
        types = self.on if isinstance(self.on, tuple | list) else (self.on,)
        if not all(isinstance(one, type) and issubclass(one, Exception) for one in types):
            raise DefinitionError(f"Retries(on={self.on!r}): give types of errors, for instance on=(TimeoutError,)")
        object.__setattr__(self, "on", tuple(types))
        for name in ("backoff_s", "factor", "max_backoff_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise DefinitionError(f"Retries({name}={value!r}): give a number, not negative")

    def delay_s(self, attempt: int, *, luck: float | None = None) -> float:
        """Seconds to wait before retry number `attempt` (from 0); `luck` from 0 to 1 takes the place of chance."""
        whole = min(self.max_backoff_s, self.backoff_s * self.factor ** min(attempt, 64))
        return whole * (1 - 0.5 * (random.random() if luck is None else luck))
