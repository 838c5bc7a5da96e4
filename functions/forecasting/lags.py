"""What is known of a series at a moment: the table that a forecast is learned from and made with.

One row a moment and a step ahead of it ("direct" forecasting, with the step as a feature): nothing in a row is younger
than its moment, so the last known values of the series are read as they will be in use. All values are told relative to
the series' level, and the label is what the value will be above it; so trees, which know no value but those they have
seen, follow a trend, and series of any height share a model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_CYCLES = 3  # of a season, in its mean


def names(seasons: Sequence[int]) -> tuple[str, ...]:
    """The columns of `known`, in order."""
    cycles = (name for season in seasons for name in (f"season_{season}", f"season_mean_{season}"))
    return ("step", "level", "last", "mean_3", "mean_long", "trend", "spread", *cycles)


def span(seasons: Sequence[int]) -> int:
    """Over how many steps the level is a mean: whole turns of the shortest season."""
    return min(seasons, default=5)


def known(values: Floats, moments: Ints, steps: Ints, seasons: Sequence[int]) -> tuple[Floats, Floats]:
    """Rows x `names` of a series at moments (places of the last value that is known), so many steps ahead; the levels.

    NaN where the series does not reach back so far, or has no value.
    """
    present = np.isfinite(values)
    filled = np.where(present, values, 0.0)
    sums = [np.concatenate(([0.0], np.cumsum(filled**power * present))) for power in (0, 1, 2)]

    def mean(end: Ints, width: int, power: int = 1) -> Floats:
        """The mean of the `width` values up to and with `end`, of those that are there."""
        last = np.clip(end + 1, 0, len(values))
        first = np.clip(end + 1 - width, 0, len(values))
        count = sums[0][last] - sums[0][first]
        total = sums[power][last] - sums[power][first]
        found: Floats = np.divide(total, count, out=np.full(len(end), np.nan), where=count > 0)
        return found

    def at(places: Ints) -> Floats:
        found: Floats = np.where(places >= 0, values[np.clip(places, 0, len(values) - 1)], np.nan)
        return found

    width = span(seasons)
    level = mean(moments, width)
    variance = mean(moments, 4 * width, 2) - mean(moments, 4 * width) ** 2
    columns = [
        steps.astype(np.float64), level, at(moments) - level,
        mean(moments, 3) - level, mean(moments, 4 * width) - level,
        level - mean(moments - width, width), np.sqrt(np.maximum(variance, 0.0)),
    ]  # fmt: skip
    for season in seasons:
        before = (
            moments + steps - season * -(-steps // season)
        )  # the youngest that is known of the same time of a season
        cycles = np.stack([at(before - turn * season) for turn in range(_CYCLES)])
        there = np.isfinite(cycles)
        total = np.where(there, cycles, 0.0).sum(axis=0)
        count = there.sum(axis=0)
        columns += [
            cycles[0] - level,
            np.divide(total, count, out=np.full(len(steps), np.nan), where=count > 0) - level,
        ]
    return np.stack(columns, axis=1), level
