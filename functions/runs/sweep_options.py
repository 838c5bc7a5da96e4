"""What a sweep tries and how it judges: settings, options, trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from ...runtime.errors import DefinitionError, did_you_mean

Space = Mapping[str, Any] | Sequence[Mapping[str, Any]]
VALUE = "value"


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting and what it came to: the run's id, and its measure (NaN where it failed, `error` says how)."""

    config: Mapping[str, Any]
    measure: float
    run_id: str = ""
    error: str = ""


class SweepWords(TypedDict, total=False):
    """The keywords of `fn.sweep`; see `SweepOptions`."""

    metric: str
    mode: Literal["max", "min"]
    samples: int
    seed: int
    at_once: int | None


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """`metric` is one that the function logs, or "value" for the number it returns; `samples` draws where the space has
    ranges; `at_once` trials run at the same time (None: as many as fit)."""

    metric: str = VALUE
    mode: Literal["max", "min"] = "max"
    samples: int = 10
    seed: int = 0
    at_once: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise DefinitionError(f'mode={self.mode!r}: give "max" or "min"')
        if self.samples < 1:
            raise DefinitionError(f"samples={self.samples}: give at least 1")

    @classmethod
    def of(cls, name: str, words: SweepWords) -> SweepOptions:
        """From keywords; raises `DefinitionError` for one that nobody knows."""
        unknown = sorted(set(words) - set(SweepWords.__annotations__))
        if unknown:
            raise DefinitionError(
                f"{name}.sweep: no option {unknown[0]!r}{did_you_mean(unknown[0], SweepWords.__annotations__)}"
            )
        return cls(**words)
