"""How good the served scores were, once the labels are known. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...functions.evaluation.metric import metric

Floats = NDArray[np.float64]
METRICS = ("average_precision", "roc_auc")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Decisions whose label is known: scores and labels (n each), out of `decisions` different ones."""

    decisions: int
    scores: Floats
    labels: Floats


@dataclass(frozen=True, slots=True)
class Quality:
    """Metrics over the decisions whose label is known; a metric is NaN where it is not defined."""

    decisions: int
    labelled: int
    positives: int
    metrics: Mapping[str, float]

    @property
    def coverage(self) -> float:
        """Share of the decisions whose label is known, 0-1."""
        return self.labelled / self.decisions if self.decisions else 0.0


def join(ids: Sequence[str], scores: Floats, labels: Mapping[str, float]) -> Labelled:
    """Decisions in the order they were made, met with labels by id; of a repeated id the last decision counts.

    Scores or labels that are NaN count as not labelled.
    """
    last = {one: at for at, one in enumerate(ids)}
    met = [(at, labels[one]) for one, at in last.items() if one in labels]
    places = np.array([at for at, _ in met], np.intp)
    known = np.array([label for _, label in met], np.float64)
    served = np.asarray(scores, np.float64)[places]
    usable = ~(np.isnan(served) | np.isnan(known))
    return Labelled(len(last), served[usable], known[usable])


def quality(found: Labelled, *, metrics: Sequence[str] = METRICS) -> Quality:
    """The metrics by name (as `functions.evaluate` has them); raises `InputError` for an unknown one."""
    chosen = [metric(name) for name in dict.fromkeys(metrics)]
    empty = found.labels.size == 0
    return Quality(
        decisions=found.decisions,
        labelled=int(found.labels.size),
        positives=int(np.sum(found.labels > 0.5)),
        metrics={m.name: float("nan") if empty else m.compute(found.labels, found.scores) for m in chosen},
    )
