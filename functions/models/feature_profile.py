"""What a model's features looked like in training: enough to tell later traffic from it, small enough to travel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

POINTS = 101
_SAMPLE = 50_000  # beyond so many rows quantiles are those of a sample: their ranks are off by some 0.2 %


@dataclass(frozen=True, slots=True)
class FeatureProfile:
    """One feature over `rows` rows. Nulls (NaN) and infinite values are in no other figure.

    `quantiles` are the values at 101 even ranks from the minimum to the maximum, none where there is no finite value
    (mean and stddev are 0 then).
    """

    rows: int
    nulls: int
    infinite: int
    mean: float
    stddev: float
    quantiles: tuple[float, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> FeatureProfile:
        """What `to_dict` wrote; raises `TypeError` for anything else."""
        return cls(**{**card, "quantiles": tuple(map(float, card["quantiles"]))})


def profile_of(rows: npt.NDArray[np.floating[Any]], features: Sequence[str]) -> dict[str, FeatureProfile]:
    """One profile a feature of rows x features, NaN for null."""
    chosen = rows
    if len(rows) > _SAMPLE:
        chosen = rows[np.sort(np.random.default_rng(0).choice(len(rows), _SAMPLE, replace=False))]
    return {name: _column(rows[:, place], chosen[:, place]) for place, name in enumerate(features)}


def _column(column: npt.NDArray[np.floating[Any]], chosen: npt.NDArray[np.floating[Any]]) -> FeatureProfile:
    nulls = int(np.isnan(column).sum())
    finite = column[np.isfinite(column)].astype(np.float64)
    infinite = len(column) - nulls - len(finite)
    if not len(finite):
        return FeatureProfile(len(column), nulls, infinite, 0.0, 0.0, ())
    some = np.sort(chosen[np.isfinite(chosen)].astype(np.float64))
    if not len(some):  # the sample has missed the few there are
        some = np.sort(finite)
    # Values that were there, not ones between them: a step of the distribution stays a step.
    places = np.maximum(np.ceil(np.linspace(0, 1, POINTS) * len(some)).astype(np.intp) - 1, 0)
    at = some[places]
    at[0], at[-1] = finite.min(), finite.max()
    with np.errstate(over="ignore", invalid="ignore"):
        mean, stddev = float(finite.mean()), float(finite.std())
    return FeatureProfile(len(column), nulls, infinite, mean, stddev, tuple(at.tolist()))
