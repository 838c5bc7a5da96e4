"""Distances between two distributions, and how likely chance alone is to make them so large. Pure.

`psi` and `jensen_shannon` compare counts in the same bins; `kolmogorov_smirnov` compares cumulative shares
at the same points. Each p-value is the chance of at least this distance when nothing has changed.
"""

from __future__ import annotations

import math

import numpy as np

from .profile import Floats

# Half a row in every bin: an empty bin must not make the logarithm infinite (Krichevsky, Trofimov 1981).
PRIOR_ROWS = 0.5


def psi(reference: Floats, current: Floats) -> float:
    """Population stability index of two histograms, in nats: sum (c - r) ln(c / r), 0 and up.

    Half a row is added to each bin that either side fills. By custom 0.1 is a change worth a look and 0.25 a
    large one (Siddiqi 2006).
    """
    r, c = _shares(reference, current, PRIOR_ROWS)
    return float(np.sum((c - r) * np.log(c / r)))


def jensen_shannon(reference: Floats, current: Floats) -> float:
    """Jensen-Shannon distance of two histograms, 0 (equal) to 1 (nothing shared).

    The square root of the divergence in bits, which makes it a metric (Endres, Schindelin 2003).
    """
    r, c = _shares(reference, current, 0.0)
    middle = (r + c) / 2
    divergence = (_relative_entropy_bits(r, middle) + _relative_entropy_bits(c, middle)) / 2
    return math.sqrt(max(divergence, 0.0))


def kolmogorov_smirnov(reference_cdf: Floats, current_cdf: Floats) -> float:
    """The largest gap between two cumulative distributions at the same points, 0-1."""
    return float(np.max(np.abs(reference_cdf - current_cdf), initial=0.0))


def kolmogorov_smirnov_p(gap: float, reference_rows: float, rows: float) -> float:
    """Chance of a gap this large between two samples of one continuous distribution.

    The Kolmogorov distribution with Stephens' (1970) correction for small samples, good from some 4 rows
    up; for values with ties it errs on the side of silence (Noether 1963).
    """
    effective = reference_rows * rows / (reference_rows + rows)
    root = math.sqrt(effective)
    scaled = (root + 0.12 + 0.11 / root) * gap
    if scaled < 0.3:  # the series converges slowly here, and the answer is 1 to five places
        return 1.0
    terms = (math.exp(-2 * (k * scaled) ** 2) * (1 if k % 2 else -1) for k in range(1, 21))
    return min(1.0, max(0.0, 2 * sum(terms)))


def binned_p(reference: Floats, current: Floats) -> float:
    """Chance of histograms this different: Pearson's chi-square test of homogeneity (1900).

    Under no change PSI times mn/(m+n), and 8 ln 2 times that much of the squared Jensen-Shannon distance, follow
    the same distribution (Yurdakul, Naranjo 2020), so it serves both. Wants some 5 expected rows a bin.
    """
    filled = (reference + current) > 0
    r, c = reference[filled], current[filled]
    m, n = float(r.sum()), float(c.sum())
    if r.size < 2 or m == 0 or n == 0:
        return 1.0
    statistic = float(np.sum((r * math.sqrt(n / m) - c * math.sqrt(m / n)) ** 2 / (r + c)))
    return chi_square_tail(statistic, r.size - 1)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """P(chi-square > statistic): the exact finite sums (Abramowitz, Stegun 1964, 26.4.4 and 26.4.5)."""
    half = statistic / 2
    if half <= 0:
        return 1.0
    odd = freedom % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    exponents = (i + odd / 2 for i in range(freedom // 2))
    # In logarithms: a huge statistic must give 0, not an overflow.
    tail += sum(math.exp(e * math.log(half) - half - math.lgamma(e + 1)) for e in exponents)
    return min(1.0, tail)


def share_p(reference_hits: float, reference_rows: float, hits: float, rows: float) -> float:
    """Chance of two shares this different, erring high: Chernoff's bound for both sides (Hoeffding 1963).

    2 exp(-(m KL(r, pooled) + n KL(c, pooled))): safe where the normal approximation claims far too much, as
    when the reference has hardly a hit.
    """
    pooled = (reference_hits + hits) / (reference_rows + rows)
    exponent = reference_rows * _bernoulli_nats(reference_hits / reference_rows, pooled)
    exponent += rows * _bernoulli_nats(hits / rows, pooled)
    return min(1.0, 2 * math.exp(-exponent))


def _shares(reference: Floats, current: Floats, prior: float) -> tuple[Floats, Floats]:
    filled = (reference + current) > 0
    r, c = reference[filled] + prior, current[filled] + prior
    return r / r.sum(), c / c.sum()


def _relative_entropy_bits(p: Floats, q: Floats) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log2(p[some] / q[some])))


def _bernoulli_nats(p: float, q: float) -> float:
    """Relative entropy of two coins."""
    hit = p * math.log(p / q) if p > 0 else 0.0
    miss = (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
    return max(hit + miss, 0.0)
