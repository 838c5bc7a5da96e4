"""Rules: what a row must satisfy to enter a feature set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from ...runtime.errors import DefinitionError

OnFail = Literal["reject", "raise"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check on one column, built by one of the methods: `Rule("amount").between(0, 1e6)`.

    A row that breaks it is put aside with the reason ("reject", the default) or stops the ingestion before
    anything is written ("raise"). Nulls pass every rule but `not_null`.
    """

    column: str
    kind: Literal["between", "one_of", "not_null"] | None = None
    bounds: tuple[float, float] | None = None
    allowed: tuple[str | int, ...] = ()
    on_fail: OnFail = "reject"

    def between(self, low: float, high: float, *, on_fail: OnFail = "reject") -> Rule:
        """`low <= value <= high`; NaN breaks it."""
        if low > high:
            raise DefinitionError(f"rule on {self.column!r}: between({low}, {high}) holds nothing; swap the bounds")
        return replace(self, kind="between", bounds=(low, high), on_fail=on_fail)

    def one_of(self, *allowed: str | int, on_fail: OnFail = "reject") -> Rule:
        """The value is one of those named."""
        return replace(self, kind="one_of", allowed=allowed, on_fail=on_fail)

    def not_null(self, *, on_fail: OnFail = "reject") -> Rule:
        """There is a value."""
        return replace(self, kind="not_null", on_fail=on_fail)

    def broken(self) -> pl.Expr:
        """True where a row breaks the rule."""
        column = pl.col(self.column)
        if self.kind == "between" and self.bounds is not None:
            low, high = self.bounds
            # NaN compares as larger than everything in Polars, so it breaks the rule as it should.
            return ~column.is_between(low, high).fill_null(True)
        if self.kind == "one_of":
            return ~column.is_in(list(self.allowed)).fill_null(True)
        if self.kind == "not_null":
            return column.is_null()
        raise DefinitionError(f"rule on {self.column!r} checks nothing: add .between(...), .one_of(...) or .not_null()")

    def reason(self) -> str:
        """What a broken rule says."""
        if self.bounds is not None:
            return f"{self.column} is not between {self.bounds[0]:g} and {self.bounds[1]:g}"
        if self.kind == "one_of":
            return f"{self.column} is not one of {', '.join(map(str, self.allowed))}"
        return f"{self.column} is null"
