"""Calibration curves against scikit-learn's, and what they must never do: change the order."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from eagleray.functions.evaluation.calibration import (
    Calibration,
    blocks,
    calibrate,
    isotonic,
    platt,
    reliability,
    reliability_curve,
)
from eagleray.functions.evaluation.metric import average_precision, roc_auc
from eagleray.runtime.errors import InputError


def sample(rows: int = 4000, *, seed: int = 0, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Margins that are too sure by `scale`, and labels; some margins tie."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1.5, 1.2, rows).round(2)
    return scale * odds + 1.0, (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float32)


def logistic(margins: np.ndarray) -> np.ndarray:
    out: np.ndarray = 1 / (1 + np.exp(-margins))
    return out


def in_parts(rows: int) -> np.ndarray:
    return np.arange(rows) % 5


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_those_of_isotonic_regression(seed: int) -> None:
    margins, labels = sample(500, seed=seed)
    middle, value, rows = blocks(margins, labels)
    oracle = IsotonicRegression().fit(margins, labels).predict(margins)
    levels, counts = np.unique(oracle.round(9), return_counts=True)
    assert value == pytest.approx(levels, abs=1e-6)
    assert rows.tolist() == counts.tolist()
    assert middle == pytest.approx([margins[oracle.round(9) == level].mean() for level in levels])


def test_platts_line_is_the_likeliest() -> None:
    margins, labels = sample()
    made = platt(margins, labels)
    assert made is not None
    hits, misses = labels.sum(), (1 - labels).sum()
    targets = np.where(labels > 0.5, (hits + 1) / (hits + 2), 1 / (misses + 2))
    twice = np.concatenate((margins, margins))[:, None]
    oracle = LogisticRegression(C=np.inf, tol=1e-8).fit(
        twice, np.repeat([1, 0], len(labels)), sample_weight=np.concatenate((targets, 1 - targets))
    )
    assert made.slope == pytest.approx(oracle.coef_[0, 0], rel=1e-3)
    assert made.apply(np.zeros(1))[0] == pytest.approx(oracle.intercept_[0], abs=1e-3)
    assert made.slope == pytest.approx(1 / 3, rel=0.1)  # what made the margins too sure


@pytest.mark.parametrize("make", [platt, isotonic])
@pytest.mark.parametrize("seed", range(3))
def test_the_order_stays_as_it_is_to_the_last_row(make, seed: int) -> None:
    margins, labels = sample(3000, seed=seed)
    made = make(margins, labels)
    fresh = np.concatenate((np.random.default_rng(9).normal(0, 20, 2000), margins))
    calibrated = made.apply(fresh)
    rises = np.diff(np.unique(fresh))
    assert (np.diff(made.apply(np.unique(fresh)))[rises > 1e-9] > 0).all()
    assert np.array_equal(np.argsort(calibrated, kind="stable"), np.argsort(fresh, kind="stable"))
    for measure in (average_precision, roc_auc):
        assert measure(labels, logistic(made.apply(margins))) == pytest.approx(measure(labels, logistic(margins)))


@pytest.mark.parametrize("make", [platt, isotonic])
def test_a_curve_comes_back_from_json_to_the_bit(make) -> None:
    margins, labels = sample()
    made = make(margins, labels)
    back = Calibration.from_dict(json.loads(json.dumps(made.to_dict())))
    assert back == made
    assert back.apply(margins).tolist() == made.apply(margins).tolist()


@pytest.mark.parametrize("method", ["auto", "platt", "isotonic"])
def test_probabilities_come_true_on_rows_the_curve_has_not_seen(method) -> None:
    margins, labels = sample()
    made, crossed = calibrate(margins, labels, in_parts(4000), method)
    assert made is not None
    new, happened = sample(seed=1)
    before, after = (reliability(happened, logistic(m)) for m in (new, made.apply(new)))
    assert after.ece < 0.03 < 0.06 < before.ece
    assert after.brier < before.brier
    assert after.log_loss < before.log_loss
    # What cross-fitting says is what new rows show.
    assert reliability(labels, logistic(crossed)).brier == pytest.approx(after.brier, abs=0.01)


def test_what_is_calibrated_is_left_alone() -> None:
    margins, labels = sample(scale=1.0)
    made, same = calibrate(margins - 1.0, labels, in_parts(4000), "auto")
    assert (
        made is None
        or reliability(labels, logistic(same)).log_loss < reliability(labels, logistic(margins - 1)).log_loss
    )
    assert calibrate(margins, labels, in_parts(4000), "none")[0] is None


def test_too_few_rows_and_margins_that_say_nothing_get_no_curve() -> None:
    margins, labels = sample(30)
    assert calibrate(margins, labels, in_parts(30), "auto")[0] is None
    margins, labels = sample(2000)
    assert calibrate(-margins, labels, in_parts(2000), "platt")[0] is None
    assert isotonic(-margins, labels) is None


def test_extreme_margins_stay_finite() -> None:
    margins, labels = sample()
    made = isotonic(margins, labels)
    assert made is not None
    assert np.isfinite(made.apply(np.array([-1e30, 1e30]))).all()
    clear = isotonic(np.linspace(-3, 3, 500), (np.linspace(-3, 3, 500) > 0).astype(float))
    assert clear is None or np.isfinite(clear.apply(np.linspace(-9, 9, 50))).all()


@pytest.mark.parametrize(
    ("x", "y", "slope"),
    [
        ((0.0, 0.0), (1.0, 2.0), 1.0),
        ((0.0, 1.0), (2.0, 1.0), 1.0),
        ((0.0,), (1.0,), 0.0),
        ((), (), 1.0),
        ((0.0,), (float("nan"),), 1.0),
    ],
)
def test_a_curve_that_does_not_rise_is_refused(x, y, slope: float) -> None:
    with pytest.raises(InputError, match="a calibration must rise"):
        Calibration("isotonic", x, y, slope)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(InputError, match="no calibration 'beta'"):
        calibrate(*sample(100), in_parts(100), "beta")  # type: ignore[arg-type]


def test_reliability_is_that_of_its_definition() -> None:
    margins, labels = sample()
    scores = logistic(margins)
    mean, rate, rows = reliability_curve(labels, scores)
    expected_rate, expected_mean = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    assert mean == pytest.approx(expected_mean)
    assert rate == pytest.approx(expected_rate)
    assert rows.sum() == 4000
    ece = sum(n * abs(m - r) for m, r, n in zip(mean, rate, rows, strict=True)) / 4000
    assert reliability(labels, scores).ece == pytest.approx(ece)
