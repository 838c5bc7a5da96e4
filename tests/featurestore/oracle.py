"""The naive oracle: windows.md's definitions word for word, one event and one question at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from eagleray.featurestore.windows import Window


@dataclass(frozen=True)
class LoggedEvent:
    """An event as the log holds it."""

    key: int
    ts_us: int
    offset: int
    value: float | None


def answer(log: list[LoggedEvent], key: int, q_us: int, window: Window, function: str) -> float | int | None:
    """The value of `function` over W(q), by brute force."""
    tail = (q_us - window.length_us) // window.granularity_us * window.granularity_us
    inside = [event for event in log if event.key == key and tail <= event.ts_us < q_us]
    values = [event.value for event in inside if event.value is not None and not math.isnan(event.value)]
    if function == "rows":
        return len(inside)
    if function == "count":
        return len(values)
    # 44 binary places, half to even, summed as whole numbers: no order can matter.
    total = sum((round(Fraction(value) * 2**44) for value in values), 0) / 2**44
    if function == "sum":
        return total
    if not values:
        return None
    if function == "avg":
        return total / len(values)
    return (min(values) if function == "min" else max(values)) + 0.0
