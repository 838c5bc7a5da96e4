"""Aggregates: what is computed over the windows of a column.

The state of each is a monoid (associative, commutative, exact), so tiles can be merged in any order; functions whose
usual algorithm depends on the order of arrival (running float sums, t-digest, SpaceSaving) are not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...runtime.errors import DefinitionError
from .calculation import Calculation
from .windows import Window

AggregateFunction = str
EVERY_ROW = "*"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`functions` of `column` over `windows`; the column "*" counts rows, nulls included.

    Functions: count, sum, avg, min, max, var and stddev (of a sample), first, last, distinct, `last_5` (the newest
    five values), `top_3` (the three largest) and `p95` (a quantile, within 0.8 % of a value that was there). Features
    are named COLUMN_FUNCTION_WINDOW, as in `amount_sum_7d`; for "*" `count_7d`. `granularity` is the step by which a
    window's tail moves; the default gives 60 to 360 steps a window.
    """

    column: str
    functions: Sequence[AggregateFunction]
    windows: Sequence[str]
    granularity: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "functions", tuple(self.functions))
        object.__setattr__(self, "windows", tuple(self.windows))
        if not self.functions or not self.windows:
            raise DefinitionError(f"aggregate of {self.column!r}: name at least one function and one window")
        self.calculations()
        if self.column == EVERY_ROW and tuple(self.functions) != ("count",):
            raise DefinitionError('aggregate of "*": only "count" applies to whole rows; name a column for the rest')
        self.parsed_windows()

    def calculations(self) -> tuple[Calculation, ...]:
        """The functions, in the order given."""
        return tuple(Calculation.parse(function, owner=f"aggregate of {self.column!r}") for function in self.functions)

    def parsed_windows(self) -> tuple[Window, ...]:
        """The windows, in the order given."""
        return tuple(Window.parse(name, granularity=self.granularity) for name in self.windows)

    def feature_name(self, function: str, window: str) -> str:
        """The name of one feature of this aggregate."""
        name = function.replace(".", "_")
        return f"{name}_{window}" if self.column == EVERY_ROW else f"{self.column}_{name}_{window}"
