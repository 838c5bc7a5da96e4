"""When a search must stop, so that the final fit still ends in time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """`total_s` for everything, of which `closing_s` go to tracking and registering at the end.

    `growth` is how many times more rows the final fit has than a trial.
    """

    total_s: float
    closing_s: float
    growth: float

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
