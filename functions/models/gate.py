"""What a model must have reached before an alias points to it; the decision alone, knows no registry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from ...runtime.errors import DefinitionError, did_you_mean
from ..evaluation.metric import METRICS

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition on `metric`, in its own units; with several bounds all must hold.

    `at_least` and `at_most` bound the figure itself. `better_than` is an alias: the figure must be better than that of
    the version the alias points to, and by at least `by`; as good is not better. Where nothing has the alias, any
    known figure is. Less is better for log_loss, brier, rmse and mae; of a measure eagleray does not know, more is.
    Raises `DefinitionError` for a gate that asks nothing or holds no number.
    """

    metric: str
    _: KW_ONLY
    at_least: float | None = None
    at_most: float | None = None
    better_than: str = ""
    by: float = 0.0

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None and not self.better_than:
            raise DefinitionError(f"the gate on {self.metric!r} asks nothing: give at_least, at_most or better_than")
        if any(one is not None and math.isnan(one) for one in (self.at_least, self.at_most)):
            raise DefinitionError(f"the gate on {self.metric!r} has a bound that is no number")
        if not 0 <= self.by < math.inf or (self.by and not self.better_than):
            raise DefinitionError(
                f"the gate on {self.metric!r} has by={self.by}: give 0 or more, and better_than beside it"
            )

    def refusals(self, figures: Figures, others: Mapping[str, Figures]) -> list[str]:
        """Why a model with these figures does not pass, in words with the figures; nothing where it does.

        `others` has the figures of what aliases point to now; an alias nobody has is left out.
        """
        if self.metric not in figures:
            return [f"{self.metric} is not known{did_you_mean(self.metric, figures)}"]
        value = figures[self.metric]
        if math.isnan(value):
            return [f"{self.metric} could not be computed, it is NaN"]
        found = []
        if self.at_least is not None and value < self.at_least:
            found.append(f"{self.metric} is {value:.6g}, which is less than {self.at_least:.6g}")
        if self.at_most is not None and value > self.at_most:
            found.append(f"{self.metric} is {value:.6g}, which is more than {self.at_most:.6g}")
        if self.better_than in others:
            found += self._against(value, others[self.better_than])
        return found

    def _against(self, value: float, theirs: Figures) -> list[str]:
        other = theirs.get(self.metric, math.nan)
        if math.isnan(other):  # what cannot be measured bars nobody
            return []
        known = METRICS.get(self.metric)
        gain = value - other if known is None or known.higher_is_better else other - value
        if gain > 0 and gain >= self.by:
            return []
        wanted = f"better by {self.by:.6g} or more" if self.by else "better"
        return [f"{self.metric} is {value:.6g}, that of {self.better_than} {other:.6g}: it must be {wanted}"]


def refusals(gates: Sequence[Gate], figures: Figures, others: Mapping[str, Figures]) -> list[str]:
    """Every reason why the model does not pass, gate by gate; none where it may go live."""
    return [reason for gate in gates for reason in gate.refusals(figures, others)]
