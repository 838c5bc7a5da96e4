"""Why a decision was taken, in words that people are given: a feature's contribution mapped to a code and its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.errors import DefinitionError, did_you_mean

MOST = 4


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason; `contribution` is that of all features behind the code, in margin units."""

    code: str
    text: str
    contribution: float


@dataclass(frozen=True, slots=True)
class ReasonCodes:
    """Texts by code, under a `version` that is told with every reason: change it whenever a text changes.

    `codes` maps features to codes, several to one if they mean the same to people; a feature that is not in it is never
    a reason. Left out, each code is a feature's own name. At most `most` reasons are given, 4 by custom (the notices
    that US credit law asks for). Raises `DefinitionError` for a code without a text.
    """

    texts: Mapping[str, str]
    _: KW_ONLY
    version: str
    codes: Mapping[str, str] = field(default_factory=dict)
    most: int = MOST

    def __post_init__(self) -> None:
        if not self.version or not self.texts or not 1 <= self.most <= MOST:
            raise DefinitionError(f"reason codes need a version, texts, and most from 1 to {MOST}")
        for feature, code in self.codes.items():
            if code not in self.texts:
                raise DefinitionError(
                    f"{feature!r} has the reason {code!r} without a text{did_you_mean(code, self.texts)}"
                )

    def check(self, features: Sequence[str]) -> None:
        """Raises `DefinitionError` for a feature that the model does not have."""
        for name in self.codes or self.texts:
            if name not in features:
                raise DefinitionError(
                    f"reason codes name {name!r}, no feature of the model{did_you_mean(name, features)}"
                )

    def of(
        self, features: Sequence[str], contributions: npt.NDArray[np.float64], *, is_positive: bool
    ) -> tuple[Reason, ...]:
        """The reasons of one decision, the strongest first; among equals the feature that stands first.

        `contributions` are one a feature, without the base value. Only codes whose features together push to the side
        that was decided for count: up for a positive decision, down for a negative one.
        """
        side = 1.0 if is_positive else -1.0
        pushes: dict[str, float] = {}
        for name, value in zip(features, contributions.tolist(), strict=True):
            code = self.codes.get(name) if self.codes else name if name in self.texts else None
            if code is not None:
                pushes[code] = pushes.get(code, 0.0) + side * value
        strongest = sorted((one for one in pushes.items() if one[1] > 0), key=lambda one: -one[1])
        return tuple(Reason(code, self.texts[code], side * push) for code, push in strongest[: self.most])

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {"version": self.version, "texts": dict(self.texts), "codes": dict(self.codes), "most": self.most}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> ReasonCodes:
        """What `to_dict` wrote; raises `KeyError` or `TypeError` for anything else."""
        return cls(card["texts"], version=card["version"], codes=card["codes"], most=card["most"])


def decided(score: object, parts: npt.NDArray[np.float64], threshold: float | None) -> bool:
    """Whether a decision is the positive one: the score is at the threshold or above.

    Without a threshold: whether the features lift the score above the base value. `parts` are contributions.
    """
    if threshold is not None and isinstance(score, int | float):
        return score >= threshold
    return float(parts.sum()) > 0
