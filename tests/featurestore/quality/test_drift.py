"""Verdicts on single columns, and the rates over many seeds: no false alarm, every real shift."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from eagleray.featurestore.quality.drift import (
    DriftRule,
    Measure,
    Verdict,
    bin_edges,
    distances,
    verdicts,
)
from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.featurestore.quality.open_profile import new_profile
from eagleray.featurestore.quality.profile import Floats, Profile, histogram
from eagleray.runtime.errors import DefinitionError, FeatureNotFound

MEASURES: tuple[Measure, ...] = ("ks", "psi", "js")


def profile(columns: dict[str, Floats]) -> ExactProfile:
    made = ExactProfile()
    made.update(columns)
    return made


def judge(reference: Floats, current: Floats, **rule: object) -> Verdict:
    found = distances(profile({"x": reference}), profile({"x": current}))
    return verdicts(found, DriftRule(**rule))[0]  # type: ignore[arg-type]


def rows(rng: np.random.Generator, n: int) -> dict[str, Floats]:
    """20 features of the kinds that a fraud model has; some skewed, some counted, some with gaps."""
    columns = {f"lognormal_{i}": rng.lognormal(3, 0.3 + 0.2 * i, n) for i in range(8)}
    columns |= {f"gamma_{i}": rng.gamma(0.5 + i, 20, n) for i in range(6)}
    columns |= {f"count_{i}": rng.poisson(0.3 * (i + 1), n).astype(float) for i in range(3)}
    columns["night"] = (rng.random(n) < 0.1).astype(float)
    columns["mostly_zero"] = np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(2, 1, n))
    columns["amount"] = np.where(rng.random(n) < 0.02, np.nan, rng.gamma(2, 30, n))
    return columns


@pytest.mark.parametrize("rows_now", [60, 500])
def test_ks_against_scipy(rows_now: int) -> None:
    rng = np.random.default_rng(3)
    for before, now in (
        (rng.normal(size=2_000), rng.normal(0.3, 1, rows_now)),
        (rng.poisson(2, 2_000).astype(float), rng.poisson(3, rows_now).astype(float)),
        (np.zeros(2_000), np.r_[np.zeros(rows_now - 3), -1.0, 1.0, 1.0]),
    ):
        found = distances(profile({"x": before}), profile({"x": now}))[0]
        # Quantiles every 1/256 see the gap to within that much.
        assert found.ks == pytest.approx(stats.ks_2samp(before, now).statistic, abs=2 / 256)


def test_sketches_give_the_same_distances_as_exact_profiles() -> None:
    rng = np.random.default_rng(5)
    before, now = rows(rng, 20_000), rows(rng, 300)
    now["amount"] = now["amount"] * 1.5
    exact = distances(profile(before), profile(now))
    sketched: list[Profile] = [new_profile(), new_profile()]
    sketched[0].update(before)
    sketched[1].update(now)
    for one, other in zip(exact, distances(*sketched), strict=True):
        assert one.feature == other.feature
        assert one.ks == pytest.approx(other.ks, abs=0.01)
        assert one.psi == pytest.approx(other.psi, abs=0.03)
        assert one.js == pytest.approx(other.js, abs=0.03)
        assert one.missing_share == other.missing_share


def test_no_false_alarm_in_1000_comparisons_and_the_shift_is_named() -> None:
    """50 seeds x 20 features, windows of 200 to 800 rows, against a week; then the amounts double."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        week = profile(rows(rng, 5_600))
        current = rows(rng, (200, 300, 800)[seed % 3])
        unshifted = distances(week, profile(current))
        shifted = distances(week, profile({**current, "amount": current["amount"] * 2}))
        for measure in MEASURES:
            rule = DriftRule(measure=measure)
            assert [v.feature for v in verdicts(unshifted, rule) if v.drifted] == []
            assert [v.feature for v in verdicts(shifted, rule) if v.drifted] == ["amount"]


@pytest.mark.parametrize("measure", MEASURES)
def test_chance_alone_stays_within_alpha(measure: Measure) -> None:
    """With the threshold out of play, comparisons with any false alarm are as rare as alpha says."""
    rule = DriftRule(measure=measure, threshold=1e-9, missing_threshold=1e-9, alpha=0.05)
    alarms = 0
    for seed in range(150):
        rng = np.random.default_rng(1_000 + seed)
        columns = {str(i): rng.normal(size=1_200) for i in range(6)}
        before = profile({name: column[:1_000] for name, column in columns.items()})
        now = profile({name: column[1_000:] for name, column in columns.items()})
        alarms += any(v.drifted for v in verdicts(distances(before, now), rule))
    assert alarms <= stats.binom.ppf(0.999, 150, 0.05)


def test_few_rows_need_a_larger_change() -> None:
    rng = np.random.default_rng(0)
    week = rng.normal(size=10_000)
    assert not judge(week, rng.normal(0.6, 1, 60), alpha=1e-6).drifted
    assert judge(week, rng.normal(0.6, 1, 2_000), alpha=1e-6).drifted
    assert judge(week, rng.normal(3, 1, 60), alpha=1e-6).drifted
    assert judge(week, rng.normal(9, 1, 49)).reason == "few rows"
    assert not judge(week, np.empty(0)).drifted
    assert judge(np.empty(0), week).reason == "few rows"


@pytest.mark.parametrize("measure", MEASURES)
def test_constant_columns(measure: Measure) -> None:
    five = np.full(1_000, 5.0)
    assert not judge(five, np.full(300, 5.0), measure=measure).drifted
    for other in (3.0, 7.0):
        verdict = judge(five, np.full(300, other), measure=measure)
        assert verdict.drifted
        assert verdict.reason == "values"
    assert judge(np.random.default_rng(0).normal(size=1_000), np.zeros(300), measure=measure).drifted
    # A column that was 60 % zeros and turns negative has its zeros apart from what lies below them.
    mixed = np.where(np.arange(1_000) % 5 < 3, 0.0, 10.0)
    assert judge(mixed, np.where(np.arange(300) % 5 < 3, -1.0, 10.0), measure=measure).drifted


def test_missing_values_are_judged_apart() -> None:
    rng = np.random.default_rng(0)
    full, void = rng.normal(size=2_000), np.full(2_000, np.nan)
    holes = np.where(rng.random(2_000) < 0.3, np.nan, full)
    assert not judge(void, void[:300]).drifted
    for before, now in ((full, void), (void, full), (full, holes), (holes, full)):
        verdict = judge(before, now[:300])
        assert (verdict.drifted, verdict.reason) == (True, "missing")
        assert verdict.figure == pytest.approx(
            abs(float(np.mean(np.isnan(before))) - float(np.mean(np.isnan(now[:300]))))
        )
        assert verdict.threshold == 0.1
    assert not judge(holes, holes[:300]).drifted
    infinite = np.where(np.arange(300) % 2 == 0, np.inf, full[:300])
    assert judge(full, infinite).reason == "missing"


def test_bins_hold_like_shares_of_the_reference() -> None:
    reference = profile({"x": np.random.default_rng(0).lognormal(0, 2, 10_000)})
    counts = histogram(reference, "x", bin_edges(reference, "x", 10_000))
    np.testing.assert_allclose(counts, 1_000, atol=2)
    assert bin_edges(reference, "x", 50).size == 4
    assert bin_edges(reference, "x", 1).size == 1


def test_features_can_be_chosen_and_are_checked() -> None:
    one, other = profile({"a": np.zeros(9), "b": np.zeros(9)}), profile({"b": np.zeros(9), "c": np.zeros(9)})
    assert [d.feature for d in distances(one, other)] == ["b"]
    assert [d.feature for d in distances(one, other, features=["b"])] == ["b"]
    with pytest.raises(FeatureNotFound, match="no feature 'a' in both profiles"):
        distances(one, other, features=["a"])
    assert verdicts((), DriftRule()) == ()


@pytest.mark.parametrize(
    "wrong", [{"measure": "emd"}, {"threshold": 0.0}, {"alpha": 1.0}, {"missing_threshold": 2}, {"min_rows": 0}]
)
def test_a_senseless_rule_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DefinitionError, match=r"choose ks, psi or js|out of range"):
        DriftRule(**wrong)  # type: ignore[arg-type]
