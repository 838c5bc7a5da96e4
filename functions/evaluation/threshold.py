"""The score from which on to act: by what mistakes cost, or by how many cases people can look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from ...runtime.errors import DefinitionError, InputError
from ...runtime.units import duration_us

Values = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Cost:
    """What each kind of mistake costs, in any one unit; what is found or let pass rightly costs nothing."""

    false_positive: float = 1.0
    false_negative: float = 1.0

    def __post_init__(self) -> None:
        """Raises `DefinitionError` for costs below zero or both zero."""
        costs = (self.false_positive, self.false_negative)
        if not all(np.isfinite(costs)) or min(costs) < 0 or max(costs) <= 0:
            raise DefinitionError(f"{self}: give costs from zero up, one of them above zero")


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many cases can be acted upon in each period: `Capacity(100, per="1d")`; needs a time column."""

    cases: int
    per: str | timedelta = "1d"
    per_us: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises `DefinitionError` for fewer than one case or an unreadable period."""
        if self.cases < 1:
            raise DefinitionError(f"capacity of {self.cases} cases: give at least 1")
        object.__setattr__(self, "per_us", duration_us(self.per))


@dataclass(frozen=True, slots=True)
class Threshold:
    """Rows with a score of at least `value` are acted upon; the rest is what that would have done on the judged rows.

    `cost` is for the rows, and NaN where none was stated; `per_period` the cases in a mean period and `most` those in
    the fullest one (0 without periods).
    """

    value: float
    rule: Cost | Capacity
    alerts: int
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    cost: float = float("nan")
    per_period: float = 0.0
    most: int = 0

    @property
    def precision(self) -> float:
        """The share of alerts that are right; NaN without alerts."""
        return self.true_positives / self.alerts if self.alerts else float("nan")

    @property
    def recall(self) -> float:
        """The share of positives that are found; NaN without positives."""
        positives = self.true_positives + self.false_negatives
        return self.true_positives / positives if positives else float("nan")

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        names = ("value", "alerts", "true_positives", "false_positives", "false_negatives", "true_negatives")
        plain: dict[str, object] = {name: getattr(self, name) for name in names}
        rule = {"false_positive": self.rule.false_positive, "false_negative": self.rule.false_negative} if isinstance(
            self.rule, Cost
        ) else {"cases": self.rule.cases, "per": str(self.rule.per)}  # fmt: skip
        return plain | {"rule": rule, "precision": self.precision, "recall": self.recall, "cost": self.cost,
                        "per_period": self.per_period, "most": self.most}  # fmt: skip


def choose_threshold(
    rule: Cost | Capacity, labels: Values, scores: Values, times_us: npt.NDArray[np.int64] | None = None
) -> Threshold:
    """The threshold for that rule on judged rows, the higher one of two that do as well.

    Cost: the least sum of costs. Capacity: the lowest score at which no period of the judged rows has more alerts
    than `cases` in the mean; periods without rows count. Raises `InputError` where a capacity has no times.
    """
    if isinstance(rule, Cost):
        value = _cheapest(rule, labels, scores)
        return _outcome(rule, value, labels, scores, None)
    if times_us is None:
        raise InputError("a capacity is so many cases a period: give a time_column of dates or times")
    periods = (times_us - times_us.min()) // rule.per_us
    count = int(periods.max()) + 1
    value = _filled(scores, rule.cases * count)
    return _outcome(rule, value, labels, scores, periods)


def _cheapest(rule: Cost, labels: Values, scores: Values) -> float:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = np.cumsum(labels[order] > 0.5)[last]
    flagged = last + 1
    costs = rule.false_positive * (flagged - hits) + rule.false_negative * (hits[-1] - hits)
    nothing = rule.false_negative * hits[-1]
    best = int(np.argmin(costs))
    return float(np.nextafter(ranked[0], np.inf)) if nothing <= costs[best] else float(ranked[last[best]])


def _filled(scores: Values, most: int) -> float:
    """The lowest score that at most `most` rows reach; equal scores go together."""
    if most >= len(scores):
        return float(scores.min())
    ranked = np.sort(scores)[::-1]
    above = ranked[:most][ranked[:most] > ranked[most]]
    return float(above[-1]) if len(above) else float(np.nextafter(ranked[0], np.inf))


def _outcome(
    rule: Cost | Capacity, value: float, labels: Values, scores: Values, periods: npt.NDArray[np.int64] | None
) -> Threshold:
    flagged, positive = scores >= value, labels > 0.5
    tp, fp = int((flagged & positive).sum()), int((flagged & ~positive).sum())
    fn = int((~flagged & positive).sum())
    cost = rule.false_positive * fp + rule.false_negative * fn if isinstance(rule, Cost) else float("nan")
    counts = np.bincount(periods, weights=flagged) if periods is not None else np.zeros(1)
    return Threshold(
        value, rule, tp + fp, tp, fp, fn, len(labels) - tp - fp - fn,
        cost=cost, per_period=float(counts.mean()), most=int(counts.max()),
    )  # fmt: skip
