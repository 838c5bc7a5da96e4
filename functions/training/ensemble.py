"""Which of the best trials make the model: the best alone, or the mean of a few where that judges better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..evaluation.metric import Floats, Metric
from .learner import Rows

_TOLERANCE = 0.01  # of the loss


def link(margins: Floats, task: str) -> Floats:
    """Margins to scores: the logistic function in classification, else themselves."""
    if task != "classification":
        return margins
    out: Floats = 1.0 / (1.0 + np.exp(-np.clip(margins.astype(np.float64), -80, 80)))
    return out


def unlink(scores: Floats, task: str) -> Floats:
    """Scores to margins: what `link` undoes, up to margins of some 36, from where on a double's score is 1."""
    if task != "classification":
        return scores
    inside = np.clip(scores.astype(np.float64), np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg)
    out: Floats = np.log(inside) - np.log1p(-inside)
    return out


def mixed(parts: Mapping[int, Rows], shares: Mapping[int, float]) -> Rows:
    """The weighted mean of the parts, by number; of those alone that are there."""
    known = [number for number in shares if number in parts]
    total = sum(shares[number] for number in known)
    found: Rows = np.sum([parts[number] * np.float32(shares[number] / total) for number in known], axis=0)
    return found


def choose(
    ranked: Sequence[int], *, margins: Mapping[int, Rows], labels: Rows, metric: Metric, most: int
) -> tuple[list[int], float]:
    """The trials whose mean margin judges well, at most `most` of them, and its loss.

    Begins with the best and adds whichever trial gives the least loss (Caruana 2004), as long as that is
    not above the least so far by more than a hundredth: a mean of equals is steadier on new rows than
    one of them. Deterministic; the earlier rank wins where losses are the same.
    """
    left = [number for number in ranked if number in margins]
    chosen = [left.pop(0)]
    total = margins[chosen[0]].astype(np.float64)
    loss = least = _loss(total, labels, metric)
    while left and len(chosen) < most:
        tried = [_loss((total + margins[number]) / (len(chosen) + 1), labels, metric) for number in left]
        spot = int(np.argmin(tried))
        if tried[spot] > least * (1 + _TOLERANCE):
            break
        loss = tried[spot]
        least = min(least, loss)
        chosen.append(left.pop(spot))
        total = total + margins[chosen[-1]]
    return chosen, loss


def _loss(margins: Floats, labels: Rows, metric: Metric) -> float:
    return metric.loss(metric.compute(labels, link(margins, metric.task)))
