"""When to speak up: rules over drift and quality, and what they found. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...featurestore.quality.drift import Distance, DriftRule, Measure, Verdict, verdicts
from ...functions.evaluation.metric import metric as known_metric
from ...runtime.errors import DefinitionError, FeatureNotFound, did_you_mean
from .quality import Quality

MIN_ROWS = 200
MIN_LABELS = 50


@dataclass(frozen=True, slots=True)
class Firing:
    """One thing an alert found: `subject` (a feature or a metric) stands at `figure`, past `threshold`."""

    kind: Literal["drift", "quality"]
    subject: str
    measure: str
    figure: float
    threshold: float
    message: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule; make one with `Alert.drift` or `Alert.quality`."""

    kind: Literal["drift", "quality"]
    rule: DriftRule = field(default_factory=DriftRule)
    features: tuple[str, ...] | None = None
    metric: str = ""
    below: float | None = None
    above: float | None = None
    min_rows: int = MIN_ROWS

    @classmethod
    def drift(
        cls,
        *,
        threshold: float = 0.2,
        features: Sequence[str] | None = None,
        measure: Measure = "ks",
        min_rows: int = MIN_ROWS,
        alpha: float = 0.001,
    ) -> Alert:
        """Fires for each feature (default: all) whose distance from the reference is large and not chance.

        See `DriftRule` for the measures and `featurestore/drift.py` for the method. Judges the newest windows
        that hold `min_rows` rows together; with fewer rows than that, no less than 50, the change must be larger.
        """
        rule = DriftRule(measure=measure, threshold=threshold, alpha=alpha, min_rows=min(min_rows, 50))
        return cls("drift", rule, None if features is None else tuple(features), min_rows=min_rows)

    @classmethod
    def quality(
        cls,
        metric: str = "average_precision",
        *,
        below: float | None = None,
        above: float | None = None,
        min_labels: int = MIN_LABELS,
    ) -> Alert:
        """Fires when a metric over the labelled decisions is under `below` or over `above`.

        Silent with fewer than `min_labels` labels, and where the metric is not defined (no positives yet).
        """
        known_metric(metric)
        if (below is None) == (above is None):
            raise DefinitionError(f"Alert.quality({metric!r}) wants exactly one of below= and above=")
        return cls("quality", metric=metric, below=below, above=above, min_rows=min_labels)


def evaluate(alerts: Sequence[Alert], distances: Sequence[Distance], quality: Quality | None) -> tuple[Firing, ...]:
    """What the alerts say, the largest excess first; one firing a subject and kind.

    Raises `FeatureNotFound` when an alert names a feature that was not compared (and any was).
    """
    found: list[Firing] = []
    for alert in alerts:
        found += _drift(alert, distances) if alert.kind == "drift" else _quality(alert, quality)
    found.sort(key=lambda firing: -_excess(firing))
    worst: dict[tuple[str, str], Firing] = {}
    for firing in found:
        worst.setdefault((firing.kind, firing.subject), firing)
    return tuple(worst.values())


def _drift(alert: Alert, distances: Sequence[Distance]) -> list[Firing]:
    known = {distance.feature: distance for distance in distances}
    for name in alert.features or ():
        if known and name not in known:
            raise FeatureNotFound(f"an alert watches {name!r}, which nobody profiles{did_you_mean(name, known)}")
    chosen = [d for d in distances if alert.features is None or d.feature in alert.features]
    return [_firing(verdict, alert.rule) for verdict in verdicts(chosen, alert.rule) if verdict.drifted]


def _firing(verdict: Verdict, rule: DriftRule) -> Firing:
    distance = verdict.distance
    if verdict.reason == "missing":
        measure = "missing share"
        change = f"missing {distance.reference_missing_share:.1%} -> {distance.missing_share:.1%}"
    else:
        measure = rule.measure
        change = f"mean {distance.reference_mean:.4g} -> {distance.mean:.4g}"
    message = (
        f"{verdict.feature} has drifted: {measure} {verdict.figure:.2f} >= {verdict.threshold:g} "
        f"({change}, {distance.rows} rows, p {verdict.p_value:.0e})"
    )
    return Firing("drift", verdict.feature, measure, verdict.figure, verdict.threshold, message)


def _quality(alert: Alert, quality: Quality | None) -> list[Firing]:
    if quality is None or quality.labelled < alert.min_rows:
        return []
    figure = quality.metrics.get(alert.metric, float("nan"))
    threshold = alert.below if alert.below is not None else alert.above
    if math.isnan(figure) or threshold is None:
        return []
    if not (figure < threshold if alert.below is not None else figure > threshold):
        return []
    sign = "<" if alert.below is not None else ">"
    basis = f"{quality.labelled} labels, {quality.coverage:.0%} of the decisions"
    message = f"{alert.metric} {figure:.3f} {sign} {threshold:g} ({basis})"
    return [Firing("quality", alert.metric, alert.metric, figure, threshold, message)]


def _excess(firing: Firing) -> float:
    """How far past the threshold, as a ratio."""
    if firing.threshold == 0:
        return float("inf")
    ratio = abs(firing.figure / firing.threshold)
    return ratio if firing.kind == "drift" or ratio >= 1 else (1 / ratio if ratio else float("inf"))
