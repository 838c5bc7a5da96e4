"""Two registered versions side by side: measures, features, settings. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..evaluation.metric import METRICS
from .registered import Registered

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of both versions, NaN where one does not have it; intervals hold 95 % (None: not known)."""

    metric: str
    first: float
    second: float
    first_interval: Interval | None = None
    second_interval: Interval | None = None

    @property
    def gain(self) -> float:
        """How much better the second version is, in the measure's units; less than 0 where it is worse."""
        known = METRICS.get(self.metric)
        step = self.second - self.first
        return step if known is None or known.higher_is_better else -step

    @property
    def apart(self) -> bool:
        """True where the intervals do not touch: chance alone hardly makes such a difference."""
        if self.first_interval is None or self.second_interval is None:
            return False
        return max(self.first_interval[0], self.second_interval[0]) > min(
            self.first_interval[1], self.second_interval[1]
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs from the `first` to the `second`. `settings` has those that are not equal, both values.

    Measures are those of the models' own evaluations: on the same rows only if both were judged on the same rows.
    """

    first: str
    second: str
    measures: tuple[Measure, ...]
    features_added: tuple[str, ...]
    features_removed: tuple[str, ...]
    settings: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, first: Registered, second: Registered) -> Comparison:
        """Of two versions, of one model or of two."""
        names = [*first.metrics, *(name for name in second.metrics if name not in first.metrics)]
        before, after = first.settings, second.settings
        return cls(
            first=first.address,
            second=second.address,
            measures=tuple(
                Measure(
                    name, first.metrics.get(name, math.nan), second.metrics.get(name, math.nan),
                    first.intervals.get(name), second.intervals.get(name),
                ) for name in names
            ),
            features_added=tuple(name for name in second.features if name not in first.features),
            features_removed=tuple(name for name in first.features if name not in second.features),
            settings={
                name: (before.get(name, ""), after.get(name, ""))
                for name in sorted({*before, *after})
                if before.get(name, "") != after.get(name, "")
            },
        )  # fmt: skip

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON: a measure that one side does not have is None there."""
        return {
            "first": self.first,
            "second": self.second,
            "metrics": {
                one.metric: {
                    "first": _known(one.first), "first_interval": one.first_interval,
                    "second": _known(one.second), "second_interval": one.second_interval,
                    "gain": _known(one.gain), "apart": one.apart,
                } for one in self.measures
            },
            "features_added": list(self.features_added),
            "features_removed": list(self.features_removed),
            "settings": {name: list(pair) for name, pair in self.settings.items()},
        }  # fmt: skip


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
