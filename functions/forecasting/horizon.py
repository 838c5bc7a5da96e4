"""How far ahead a forecast looks."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Horizon:
    """So many `steps` ahead: `Horizon(14)`.

    `seasons` are numbers of steps after which series repeat (None: what the step suggests, 7 for days, 12 for months);
    `every` names the step ("1d", "1mo"; None: the gap between times that is most common).
    """

    steps: int
    seasons: tuple[int, ...] | None = None
    every: str | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise DefinitionError(f"Horizon({self.steps}): look at least 1 step ahead")
        if self.seasons is not None and any(season < 2 for season in self.seasons):
            raise DefinitionError(f"Horizon(seasons={self.seasons}): a season has at least 2 steps")
