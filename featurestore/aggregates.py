"""Aggregates: what is computed over the windows of a column.

The state of each is a monoid (associative, commutative, exact), so tiles can be merged in any order:
counts are int64, sums are 128-bit fixed point, minima and maxima are themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..runtime.errors import DefinitionError, did_you_mean
from .windows import Window

AggregateFunction = Literal["count", "sum", "avg", "min", "max"]
EVERY_ROW = "*"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`functions` of `column` over `windows`; the column "*" counts rows, nulls included.

    Features are named COLUMN_FUNCTION_WINDOW, as in `amount_sum_7d`; for "*" `count_7d`. `granularity` is
    the step by which a window's tail moves; the default gives 60 to 360 steps a window.
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
        for function in self.functions:
            if function not in get_args(AggregateFunction):
                known = get_args(AggregateFunction)
                raise DefinitionError(
                    f"aggregate of {self.column!r}: no function {function!r}{did_you_mean(function, known)}"
                )
        if self.column == EVERY_ROW and tuple(self.functions) != ("count",):
            raise DefinitionError('aggregate of "*": only "count" applies to whole rows; name a column for the rest')
        self.parsed_windows()

    def parsed_windows(self) -> tuple[Window, ...]:
        """The windows, in the order given."""
        return tuple(Window.parse(name, granularity=self.granularity) for name in self.windows)

    def feature_name(self, function: str, window: str) -> str:
        """The name of one feature of this aggregate."""
        return f"{function}_{window}" if self.column == EVERY_ROW else f"{self.column}_{function}_{window}"
