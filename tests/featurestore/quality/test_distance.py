"""Distances and tests against naive computations and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from eagleray.featurestore.quality.distance import (
    binned_p,
    chi_square_tail,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_p,
    psi,
    share_p,
)

RNG = np.random.default_rng(7)
PAIRS = [(RNG.integers(0, 50, 8).astype(float), RNG.integers(0, 50, 8).astype(float)) for _ in range(20)]


@pytest.mark.parametrize(("reference", "current"), PAIRS[:5])
def test_psi_against_the_sum(reference: np.ndarray, current: np.ndarray) -> None:
    total = 0.0
    bins = sum(1 for r, c in zip(reference, current, strict=True) if r + c)
    for r, c in zip(reference, current, strict=True):
        if r + c:
            share_r, share_c = (r + 0.5) / (reference.sum() + bins / 2), (c + 0.5) / (current.sum() + bins / 2)
            total += (share_c - share_r) * math.log(share_c / share_r)
    assert psi(reference, current) == pytest.approx(total)


@pytest.mark.parametrize(("reference", "current"), PAIRS)
def test_jensen_shannon_against_scipy(reference: np.ndarray, current: np.ndarray) -> None:
    assert jensen_shannon(reference, current) == pytest.approx(jensenshannon(reference, current, base=2))


def test_the_ends_of_the_scales() -> None:
    same, apart = np.array([5.0, 5.0, 0.0, 0.0]), np.array([0.0, 0.0, 5.0, 5.0])
    assert psi(same, same) == 0.0
    assert math.isfinite(psi(same, apart))
    assert jensen_shannon(same, 3 * same) == pytest.approx(0.0)
    assert jensen_shannon(same, apart) == pytest.approx(1.0)
    assert kolmogorov_smirnov(np.array([0.2, 1.0]), np.array([0.7, 1.0])) == pytest.approx(0.5)
    assert kolmogorov_smirnov(np.empty(0), np.empty(0)) == 0.0


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 19])
@pytest.mark.parametrize("statistic", [0.0, 0.1, 1.0, 5.0, 30.0, 200.0, 1e5])
def test_chi_square_tail_against_scipy(statistic: float, freedom: int) -> None:
    expected = stats.chi2.sf(statistic, freedom)
    assert chi_square_tail(statistic, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("reference", "current"), PAIRS)
def test_binned_p_against_scipy(reference: np.ndarray, current: np.ndarray) -> None:
    table = np.array([reference, current])[:, reference + current > 0]
    assert binned_p(reference, current) == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


def test_binned_p_has_nothing_to_say_about_one_bin_or_no_rows() -> None:
    assert binned_p(np.array([5.0, 0.0]), np.array([9.0, 0.0])) == 1.0
    assert binned_p(np.array([5.0, 2.0]), np.zeros(2)) == 1.0


@pytest.mark.parametrize("rows", [20, 200, 2_000])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_kolmogorov_smirnov_p_against_scipy(rows: int, shift: float) -> None:
    reference, current = RNG.normal(size=3_000), RNG.normal(shift, 1, rows)
    exact = stats.ks_2samp(reference, current, method="asymp")
    ours = kolmogorov_smirnov_p(exact.statistic, 3_000, rows)
    # SciPy's asymptotic form has no small-sample correction; ours must lie within a factor of two of it.
    assert ours == pytest.approx(exact.pvalue, rel=1.0, abs=1e-12)


def test_kolmogorov_smirnov_p_spans_0_to_1() -> None:
    assert kolmogorov_smirnov_p(0.0, 100, 100) == 1.0
    assert kolmogorov_smirnov_p(1.0, 10_000, 10_000) == 0.0
    p_values = [kolmogorov_smirnov_p(gap, 1_000, 200) for gap in np.linspace(0, 1, 200)]
    assert p_values == sorted(p_values, reverse=True)


@pytest.mark.parametrize(("hits", "rows"), [(0, 50), (3, 50), (8, 50), (5, 200), (40, 200)])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.2])
def test_share_p_claims_no_more_than_the_exact_test(hits: int, rows: int, share: float) -> None:
    before, n = int(share * 20_000), 20_000
    exact = stats.fisher_exact([[before, n - before], [hits, rows - hits]]).pvalue
    # Fisher's two sides are not alike, hence the slack; in the far tail, where it matters, the bound is above.
    assert share_p(before, n, hits, rows) >= exact * (0.8 if exact > 0.1 else 1.0)


def test_share_p_sees_a_real_change() -> None:
    assert share_p(0, 20_000, 20, 200) < 1e-10
    assert share_p(1_000, 20_000, 10, 200) == 1.0
    assert share_p(5, 5, 9, 9) == 1.0
