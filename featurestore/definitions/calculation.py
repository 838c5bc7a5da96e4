"""One function of an aggregate: which state it needs of which column, and the type of what it gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ...runtime.errors import DefinitionError, did_you_mean

Kind = Literal[
    "count", "sum", "avg", "min", "max", "var", "stddev", "first", "last", "distinct", "last_n", "top_k", "quantile"
]
FieldKind = Literal[
    "rows", "n", "sum", "min", "max", "square_high", "square_low", "first", "recent", "distinct", "top", "bins"
]
_NAMED: tuple[Kind, ...] = (
    "count", "sum", "avg", "min", "max", "var", "stddev", "first", "last", "distinct",
)  # fmt: skip
# What each must find in a tile.
_NEEDS: dict[Kind, tuple[FieldKind, ...]] = {
    "count": ("n",),
    "sum": ("n", "sum"),
    "avg": ("n", "sum"),
    "min": ("n", "min"),
    "max": ("n", "max"),
    "var": ("n", "sum", "square_high", "square_low"),
    "stddev": ("n", "sum", "square_high", "square_low"),
    "first": ("first",),
    "last": ("recent",),
    "distinct": ("distinct",),
    "last_n": ("recent",),
    "top_k": ("top",),
    "quantile": ("bins",),
}
NUMERIC = ("int64", "float64", "bool")
SCALAR = (*NUMERIC, "string", "timestamp")
_OF_ANY = ("count", "first", "last", "distinct", "last_n")
MOST = 1000  # values a list feature may hold
_SIZED = re.compile(r"(last|top)_([1-9]\d*)")
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")


@dataclass(frozen=True, slots=True)
class Calculation:
    """`size` is the n of `last_n` and the k of `top_k`; `quantile` lies in 0 .. 1, exact."""

    kind: Kind
    size: int = 0
    quantile: Fraction = Fraction(0)

    @classmethod
    def parse(cls, text: str, *, owner: str) -> Calculation:
        """From what the user wrote ("sum", "last_5", "p99.9"); raises `DefinitionError` with the nearest name."""
        for kind in _NAMED:
            if text == kind:
                return cls(kind)
        if sized := _SIZED.fullmatch(text):
            size = int(sized[2])
            if size > MOST:
                raise DefinitionError(f"{owner}: {text!r} asks for more than {MOST} values; store the events instead")
            return cls("last_n" if sized[1] == "last" else "top_k", size)
        if quantile := _QUANTILE.fullmatch(text):
            return cls("quantile", quantile=Fraction(quantile[1]) / 100)
        raise DefinitionError(
            f"{owner}: no function {text!r}{did_you_mean(text, _NAMED)}; there are {', '.join(_NAMED)}, "
            "and with a number last_5, top_3, p95"
        )

    @property
    def needs(self) -> tuple[FieldKind, ...]:
        """The pieces of state it is made from."""
        return _NEEDS[self.kind]

    @property
    def takes(self) -> tuple[str, ...]:
        """The column types it applies to."""
        return SCALAR if self.kind in _OF_ANY else NUMERIC

    def gives(self, dtype: str) -> str:
        """The type of the feature made of a column of `dtype`."""
        if self.kind in ("count", "distinct"):
            return "int64"
        if self.kind in ("avg", "var", "stddev", "quantile"):
            return "float64"
        if self.kind in ("first", "last"):
            return dtype
        if self.kind == "last_n":
            return f"list[{dtype}]"
        number = "float64" if dtype == "float64" else "int64"
        return f"list[{number}]" if self.kind == "top_k" else number
