"""The naive oracle: windows.md's definitions word for word, one event and one question at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from eagleray.featurestore.definitions.windows import Window

Scalar = float | int | str | None
Answer = Scalar | Sequence[float | int | str]


@dataclass(frozen=True)
class LoggedEvent:
    """An event as the log holds it."""

    key: int
    ts_us: int
    offset: int
    value: Scalar


def answer(log: list[LoggedEvent], key: int, q_us: int, window: Window, function: str) -> Answer:
    """The value of `function` over W(q), by brute force."""
    tail = (q_us - window.length_us) // window.granularity_us * window.granularity_us
    inside = [event for event in log if event.key == key and tail <= event.ts_us < q_us]
    inside.sort(key=lambda event: (event.ts_us, event.offset))
    if function == "rows":
        return len(inside)
    return over([event.value for event in inside], function)


def over(in_order: list[Scalar], function: str) -> Answer:
    """The value of `function` over values in the order of (ts, offset)."""
    values = [v + 0.0 if isinstance(v, float) else v for v in in_order if v is not None and v == v]
    if function == "count":
        return len(values)
    if function == "distinct":  # exact up to 128
        return len(set(values))
    if function in ("first", "last"):
        return (values[0] if function == "first" else values[-1]) if values else None
    if function.startswith("last_"):
        return values[-int(function[5:]) :][::-1] or None
    numbers = [value for value in values if not isinstance(value, str)]
    if function.startswith("top_"):
        return sorted(numbers, reverse=True)[: int(function[4:])] or None
    if function.startswith("p"):
        rank = Fraction(function[1:]) / 100 * (len(numbers) - 1)
        return middle_of_bin(float(sorted(numbers)[math.floor(rank)])) if numbers else None
    # 44 binary places, half to even, summed as whole numbers: no order can matter.
    exact = [Fraction(round(Fraction(value) * 2**44), 2**44) for value in numbers]
    total = sum(exact, Fraction(0))
    if function == "sum":
        return float(total)
    if function in ("var", "stddev"):
        if len(exact) < 2:
            return None
        mean = total / len(exact)
        variance = float(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))
        return variance if function == "var" else math.sqrt(variance)
    if not numbers:
        return None
    if function == "avg":
        return float(total) / len(numbers)
    return min(numbers) if function == "min" else max(numbers)


def middle_of_bin(value: float) -> float:
    """64 bins an octave; what lies too near to zero for a bin is zero."""
    if abs(value) < 2.0**-1022:
        return 0.0
    mantissa, exponent = math.frexp(abs(value))  # 0.5 <= mantissa < 1
    low = math.floor((mantissa * 2 - 1) * 64) / 64
    return math.copysign((1 + low + 1 / 128) * 2.0 ** (exponent - 1), value)
