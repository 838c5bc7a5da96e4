"""Weights for an ensemble's members, where weights judge better than a plain mean by more than chance.

Ensemble selection with replacement (Caruana 2004): the trial that helps most is added again and again, and how often
it was is its weight. Weights fit the rows they are chosen by, so they are taken only where weights that were chosen on
four fifths of the validation rows also judge the fifth better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..evaluation.metric import Floats, Metric
from .ensemble import choose, link
from .learner import Rows

_AVERAGED, _WEIGHTED = 10, 5  # of the best trials, so many may be averaged, and have weights
_STEPS = 10  # weights are tenths or coarser
_PARTS = 5
_CERTAIN = 1.5  # standard errors by which weights must be better: t for 90 % of five parts, on one side
_WORTH = 0.001  # of the loss: what is gained on the very rows must be more before anything is tried on others
_MOST_ROWS = 30_000
_AVERAGING_ROW_S, _WEIGHING_ROW_S = 2e-6, 2e-5


def weighing_s(rows: int, *, most: int) -> float:
    """Seconds that `weighted` takes at most for so many validation rows, on a busy core."""
    return rows * _AVERAGING_ROW_S + min(rows, _MOST_ROWS) * _WEIGHING_ROW_S if most > 1 else 0.0


def weighted(
    ranked: Sequence[int], *, margins: Mapping[int, Rows], labels: Rows, metric: Metric, most: int, seed: int = 0
) -> dict[int, float]:
    """The weight of each trial in the ensemble, at most `most` of them, best rank first; they add up to 1.

    Those of `choose`'s plain mean, unless others judge better beyond chance. Deterministic for a seed.
    """
    ranked = [number for number in ranked if number in margins][:_AVERAGED]
    chosen, _ = choose(ranked, margins=margins, labels=labels, metric=metric, most=most)
    plain = dict.fromkeys(chosen, 1.0 / len(chosen))
    known = list(dict.fromkeys([*ranked[:_WEIGHTED], *chosen]))
    if most < 2 or len(known) < 2 or metric.task == "ranking":  # weights are tried on rows, not on queries
        return plain
    rows, parts = _parts(labels, metric, seed)
    y = labels[rows]
    stack = np.stack([margins[number][rows].astype(np.float64) for number in known])
    everything = np.ones(len(y), dtype=bool)
    shares = _greedy(stack, y, metric, most=most, rows=everything)
    place = {number: spot for spot, number in enumerate(known)}
    even = np.zeros(len(known))
    even[[place[number] for number in chosen]] = 1.0 / len(chosen)
    before = _loss(even, stack, y, metric, everything)
    if not before - _loss(shares, stack, y, metric, everything) > _WORTH * before:
        return plain
    gains = []
    for part in range(_PARTS):
        teaches, judges = parts != part, parts == part
        tried = _greedy(stack, y, metric, most=most, rows=teaches)
        some = choose(
            known, margins={n: stack[place[n]][teaches] for n in known}, labels=y[teaches], metric=metric, most=most
        )[0]
        mean = np.zeros(len(known))
        mean[[place[number] for number in some]] = 1.0 / len(some)
        gains.append(_loss(mean, stack, y, metric, judges) - _loss(tried, stack, y, metric, judges))
    gained, error = float(np.mean(gains)), float(np.std(gains, ddof=1)) / np.sqrt(_PARTS)
    if not gained > _CERTAIN * error:  # NaN, where a part holds one class only, is no gain
        return plain
    return {number: float(shares[place[number]]) for number in known if shares[place[number]] > 0}


def _greedy(stack: Floats, labels: Rows, metric: Metric, *, most: int, rows: npt.NDArray[np.bool_]) -> Floats:
    """How often each trial was added, over all additions; with the best of all the steps."""
    margins, y = stack[:, rows], labels[rows]
    counts = np.zeros(len(stack))
    total = np.zeros_like(margins[0])
    best, least = counts, np.inf
    for step in range(1, _STEPS + 1):
        full = np.count_nonzero(counts) >= most
        tried = [
            metric.loss(metric.compute(y, link((total + margins[spot]) / step, metric.task)))
            if counts[spot] or not full
            else np.inf
            for spot in range(len(stack))
        ]
        spot = int(np.argmin(tried))
        counts = counts.copy()
        counts[spot] += 1
        total = total + margins[spot]
        if tried[spot] < least:
            best, least = counts, tried[spot]
    shares: Floats = best / best.sum()
    return shares


def _loss(shares: Floats, stack: Floats, labels: Rows, metric: Metric, rows: npt.NDArray[np.bool_]) -> float:
    mixed = np.tensordot(shares, stack[:, rows], axes=1)
    return metric.loss(metric.compute(labels[rows], link(mixed, metric.task)))


def _parts(labels: Rows, metric: Metric, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Some of the rows, and a part for each of them; classes are spread evenly over the parts."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(labels))[:_MOST_ROWS])
    keys = labels[rows] if metric.task == "classification" else np.zeros(len(rows))
    order = np.lexsort((rng.random(len(rows)), keys))
    parts = np.empty(len(rows), dtype=np.int64)
    parts[order] = np.arange(len(rows)) % _PARTS
    return rows, parts
