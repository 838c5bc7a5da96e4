"""When a search must stop, so that the final fit still ends in time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_CELL_S = 1e-8  # a round of boosting, for each cell of the table
_ROUNDS = 150


def usual_trial_s(rows: int, columns: int) -> float:
    """What a booster's trial takes on so many rows that teach, by a rule of thumb."""
    return rows * columns * _CELL_S * _ROUNDS


@dataclass(frozen=True, slots=True)
class Budget:
    """`total_s` for everything, of which `closing_s` go to tracking and registering at the end.

    `growth` is how many times more rows the final fit has than a trial. `trials` ends a search after so many,
    None for as many as time allows; with `round_s` a round counts as so many seconds, however long it takes, 0 for
    time as it is measured.
    """

    total_s: float
    closing_s: float
    growth: float
    trials: int | None = None
    round_s: float = 0.0

    def timeless(self, shape: tuple[int, ...]) -> Budget:
        """The same for a table of so many rows and columns, with no end in time and rounds as what is spent."""
        return replace(self, total_s=math.inf, closing_s=0.0, round_s=math.prod(shape) * _CELL_S)

    def refit_s(self, seconds: float) -> float:
        """What the final fit of a configuration takes whose trial took so many seconds up to its best round.

        A trial also judges every round, and what does not grow with the rows is counted as if it did: slack enough.
        """
        return seconds * self.growth

    def limit_s(self, elapsed_s: float, *, best_seconds: float) -> float:
        """Seconds the next trial may take; none are left where this is not above zero.

        A trial may turn out the best: then its own final fit must fit in after it, and if it does not,
        that of the best so far (a trial of `best_seconds`) must.
        """
        left = self.total_s - self.closing_s - elapsed_s
        own = left / (1.0 + self.growth)
        return min(own, left - self.refit_s(best_seconds))
