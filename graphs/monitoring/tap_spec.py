"""Where an endpoint's traffic is profiled: travels to a replica as data, and becomes a tap there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...featurestore.quality.profile import Floats
from ...runtime.errors import DefinitionError
from ...runtime.settings import Settings
from .profiler import ProfilerPort
from .tap import FLUSH_MS, TapBuffer


@dataclass(frozen=True, slots=True)
class TapSpec:
    """Everything that a replica or a monitor needs to reach the profiler of `endpoint`; picklable.

    `window_us` is the length of a profile's window; `flush_ms` how long a served request may wait in the tap.
    """

    endpoint: str
    settings: Settings
    window_us: int = 60_000_000
    capacity: int = 1024
    flush_ms: int = FLUSH_MS

    def __post_init__(self) -> None:
        # It becomes a folder's name.
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", self.endpoint):
            raise DefinitionError(f"endpoint name {self.endpoint!r} is no name: use letters, digits, '-', '_' and '.'")

    @property
    def folder(self) -> Path:
        """Where the profiles and decisions are kept."""
        return self.settings.home / "monitoring" / self.endpoint

    def open(self, names: tuple[str, ...]) -> TapBuffer:
        """A tap for rows with these features, in this process; call its `close` when the replica ends."""
        return TapBuffer(names, self.profiler().receive, self.capacity, flush_ms=self.flush_ms)

    def profiler(self) -> ProfilerPort:
        """The endpoint's profiler, started if it does not run yet."""
        # Ray takes seconds to import: only who taps or watches pays for it.
        from .ray_profiler import RayProfiler

        return RayProfiler(self)


def reference_of(columns: dict[str, Floats], settings: Settings) -> bytes:
    """The reference of float64 columns as bytes, made in another process: this one need not import whylogs."""
    from .ray_profiler import reference_apart

    return reference_apart(columns, settings)
