"""Has a feature drifted? Two profiles in, one verdict a feature out. Pure.

A feature has drifted when two things hold at once:
- the change is large: the chosen distance is at or above a threshold (any change of a busy service is
  "significant", most do not matter) and beyond what was usual in the reference itself (`reference.py`);
- it is not chance: its p-value is at or below `alpha` shared out over all tests of the comparison
  (Bonferroni), so a small window has to show a larger change and 20 features do not raise 20 times the alarms.
`alpha` is thus the chance of any false alarm in one comparison of independent rows.

Missing values are judged apart from the values: by the difference of their shares, in the same two ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...runtime.errors import DefinitionError, FeatureNotFound, did_you_mean
from .distance import binned_p, jensen_shannon, kolmogorov_smirnov, kolmogorov_smirnov_p, psi, share_p
from .profile import Floats, Profile, histogram

Measure = Literal["ks", "psi", "js"]

MAX_BINS = 10
ROWS_PER_BIN = 10
# Points at which the cumulative shares are compared, from each side's quantiles.
KS_POINTS = 257


@dataclass(frozen=True, slots=True)
class Usual:
    """Distances that are usual for a feature: the largest that stretches of the reference's own rows had."""

    ks: float = 0.0
    psi: float = 0.0
    js: float = 0.0
    missing: float = 0.0

    def widen(self, other: Distance) -> Usual:
        """This, or the other's distances where they are larger; NaN counts as nothing."""
        return Usual(
            ks=float(np.fmax(self.ks, other.ks)),
            psi=float(np.fmax(self.psi, other.psi)),
            js=float(np.fmax(self.js, other.js)),
            missing=max(self.missing, other.missing_gap),
        )

    def figure(self, measure: Measure) -> float:
        """The usual distance by that measure."""
        return {"ks": self.ks, "psi": self.psi, "js": self.js}[measure]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one feature is from its reference. NaN (and p = 1) where a side has no finite value.

    `rows` count all rows, `values` the finite ones; the missing shares are 0-1.
    """

    feature: str
    reference_rows: int
    rows: int
    values: int
    reference_mean: float
    mean: float
    ks: float
    ks_p: float
    psi: float
    js: float
    binned_p: float
    reference_missing_share: float
    missing_share: float
    missing_p: float
    usual: Usual = Usual()

    @property
    def missing_gap(self) -> float:
        """The difference of the missing shares, 0-1."""
        return abs(self.missing_share - self.reference_missing_share)

    def figure(self, measure: Measure) -> tuple[float, float]:
        """The distance by that measure, and its p-value."""
        figures = {
            "ks": (self.ks, self.ks_p),
            "psi": (self.psi, self.binned_p),
            "js": (self.js, self.binned_p),
        }
        return figures[measure]


@dataclass(frozen=True, slots=True)
class DriftRule:
    """When a distance counts as drift.

    `threshold`: for "ks" the largest gap of cumulative shares (0.2: a fifth of the rows have moved), for
    "psi" nats (0.2 or 0.25 by custom), for "js" the distance 0-1. `missing_threshold` is a difference of
    shares. Either is raised to `margin` times what is usual for the feature, where that is known. With fewer
    than `min_rows` rows there is no verdict.
    """

    measure: Measure = "ks"
    threshold: float = 0.2
    missing_threshold: float = 0.1
    alpha: float = 0.001
    min_rows: int = 50
    margin: float = 1.25

    def __post_init__(self) -> None:
        if self.measure not in ("ks", "psi", "js"):
            raise DefinitionError(f"no drift measure {self.measure!r}: choose ks, psi or js")
        for name in ("threshold", "missing_threshold", "alpha"):
            if not 0 < getattr(self, name) < (float("inf") if name == "threshold" else 1):
                raise DefinitionError(f"drift {name} {getattr(self, name)} is out of range: give 0 < {name} < 1")
        if min(self.min_rows, self.margin) < 1:
            raise DefinitionError("drift min_rows and margin are out of range: give 1 or more")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One feature judged by one rule. `reason`: "values", "missing", "few rows" or "" (no drift)."""

    feature: str
    drifted: bool
    reason: str
    figure: float
    threshold: float
    p_value: float
    distance: Distance


def distances(reference: Profile, current: Profile, *, features: Sequence[str] | None = None) -> tuple[Distance, ...]:
    """One distance for each feature named, or for each that both profiles have, in the reference's order.

    Raises `FeatureNotFound` for a named feature that either profile lacks.
    """
    shared = [name for name in reference.names if name in set(current.names)]
    for name in features or ():
        if name not in shared:
            raise FeatureNotFound(f"no feature {name!r} in both profiles{did_you_mean(name, shared)}")
    return tuple(_distance(reference, current, name) for name in (shared if features is None else features))


def verdicts(found: Sequence[Distance], rule: DriftRule) -> tuple[Verdict, ...]:
    """Every distance judged by the rule, in the same order; `alpha` is shared out over all of them."""
    # Two tests a feature: its values and its missing share.
    alpha = rule.alpha / max(2 * len(found), 1)
    return tuple(_verdict(distance, rule, alpha) for distance in found)


def bin_edges(reference: Profile, name: str, rows: int) -> Floats:
    """Edges that give each bin a like share of the reference: at most 10 bins, some 10 rows each.

    A value that fills a whole bin or more gets a bin of its own, so that a constant column still shows
    what lies to either side of it.
    """
    bins = int(np.clip(rows // ROWS_PER_BIN, 2, MAX_BINS))
    inner = reference.quantiles(name, np.linspace(0, 1, bins + 1)[1:-1])
    heavy, times = np.unique(inner, return_counts=True)
    # Bins are closed to the right: an edge just below a heavy value parts it from the smaller ones.
    first = heavy[0] == reference.summary(name).minimum
    below = heavy[(times > 1) | (first & (heavy == heavy[0]))]
    return np.union1d(inner, np.nextafter(below, -np.inf))


def _distance(reference: Profile, current: Profile, name: str) -> Distance:
    r, c = reference.summary(name), current.summary(name)
    ks = value_psi = js = float("nan")
    ks_p = value_p = 1.0
    if r.values and c.values:
        points = _points(reference, current, name)
        gap = kolmogorov_smirnov(reference.cdf(name, points), current.cdf(name, points))
        ks = min(gap, 1.0)
        # What the sketches may be off is not evidence.
        blur = reference.rank_error + current.rank_error
        ks_p = kolmogorov_smirnov_p(max(ks - blur, 0.0), r.values, c.values)
        edges = bin_edges(reference, name, min(r.values, c.values))
        before, now = histogram(reference, name, edges), histogram(current, name, edges)
        value_psi, js, value_p = psi(before, now), jensen_shannon(before, now), binned_p(before, now)
    missing_p = 1.0
    if r.rows and c.rows:
        missing_p = share_p(r.rows - r.values, r.rows, c.rows - c.values, c.rows)
    return Distance(
        feature=name,
        reference_rows=r.rows,
        rows=c.rows,
        values=c.values,
        reference_mean=r.mean,
        mean=c.mean,
        ks=ks,
        ks_p=ks_p,
        psi=value_psi,
        js=js,
        binned_p=value_p,
        reference_missing_share=r.missing_share,
        missing_share=c.missing_share,
        missing_p=missing_p,
    )


def _points(reference: Profile, current: Profile, name: str) -> Floats:
    """Quantiles of both sides, and the places just below them: a gap may open on either side of a step."""
    at = np.linspace(0, 1, KS_POINTS)
    steps = np.union1d(reference.quantiles(name, at), current.quantiles(name, at))
    return np.union1d(steps, np.nextafter(steps, -np.inf))


def _verdict(distance: Distance, rule: DriftRule, alpha: float) -> Verdict:
    figure, p_value = distance.figure(rule.measure)
    threshold = max(rule.threshold, rule.margin * distance.usual.figure(rule.measure))
    if min(distance.rows, distance.reference_rows) < rule.min_rows:
        return Verdict(distance.feature, False, "few rows", figure, threshold, p_value, distance)
    if distance.values >= rule.min_rows and figure >= threshold and p_value <= alpha:
        return Verdict(distance.feature, True, "values", figure, threshold, p_value, distance)
    gap, gap_p = distance.missing_gap, distance.missing_p
    gap_threshold = max(rule.missing_threshold, rule.margin * distance.usual.missing)
    if gap >= gap_threshold and gap_p <= alpha:
        return Verdict(distance.feature, True, "missing", gap, gap_threshold, gap_p, distance)
    return Verdict(distance.feature, False, "", figure, threshold, p_value, distance)
