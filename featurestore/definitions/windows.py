"""Windows: a length, a granularity, and which events they hold at a moment q.

W(q) = { events with floor((q - length) / granularity) * granularity <= ts < q }: the head is exact and
open, the tail is rounded down to a tile. Tiles are aligned to the epoch. All times are int64 microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.errors import DefinitionError
from ...runtime.units import duration_us

_ROUND_US = tuple(
    duration_us(text)
    for text in ["1s", "5s", "10s", "30s", "1m", "5m", "10m", "30m", "1h", "6h", "12h", "1d", "7d", "30d"]
)
_TILES_AT_LEAST = 60


@dataclass(frozen=True, slots=True)
class Window:
    """One sliding window; `name` is what the user wrote ("7d") and part of the features' names."""

    name: str
    length_us: int
    granularity_us: int

    @classmethod
    def parse(cls, name: str, *, granularity: str | None = None) -> Window:
        """A window from its text; raises `DefinitionError` when the granularity does not divide the length."""
        length = duration_us(name)
        grain = default_granularity_us(length) if granularity is None else duration_us(granularity)
        if length % grain:
            raise DefinitionError(f"window {name!r}: granularity {granularity!r} does not divide it")
        return cls(name=name, length_us=length, granularity_us=grain)

    def first_tile(self, q_us: int) -> int:
        """The oldest tile that belongs to the window at `q_us`."""
        return (q_us - self.length_us) // self.granularity_us


def default_granularity_us(length_us: int) -> int:
    """The largest round duration that divides the length and gives 60 tiles or more; else the nearest divisor."""
    for grain in reversed(_ROUND_US):
        if length_us % grain == 0 and grain * _TILES_AT_LEAST <= length_us:
            return grain
    tiles = _TILES_AT_LEAST
    while length_us % tiles:
        tiles += 1
    return length_us // tiles
