"""Alerts: what fires, in which words, and what stays silent."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.featurestore.quality.drift import Distance, distances
from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.graphs.monitoring.alert import Alert, evaluate
from eagleray.graphs.monitoring.quality import Quality
from eagleray.runtime.errors import DefinitionError, FeatureNotFound, InputError


@pytest.fixture(scope="module")
def found() -> tuple[Distance, ...]:
    """amount has doubled, age is missing in a fifth of the rows, count is as it was."""
    rng = np.random.default_rng(0)
    before, now = ExactProfile(), ExactProfile()
    for profile, n, factor, gaps in ((before, 5_000, 1, 0.0), (now, 300, 2, 0.2)):
        age = np.where(rng.random(n) < gaps, np.nan, rng.normal(40, 9, n))
        profile.update(
            {"count": rng.poisson(3, n).astype(np.float64), "amount": rng.gamma(2, 30, n) * factor, "age": age}
        )
    return distances(before, now)


def good(**metrics: float) -> Quality:
    return Quality(decisions=200, labelled=100, positives=9, metrics=metrics)


def test_drift_names_the_feature_its_figure_and_the_threshold(found: tuple[Distance, ...]) -> None:
    amount, age = evaluate([Alert.drift()], found, None)
    assert (amount.kind, amount.subject, amount.measure, amount.threshold) == ("drift", "amount", "ks", 0.2)
    assert amount.figure > 0.2
    assert amount.message.startswith("amount has drifted: ks 0.")
    assert "300 rows" in amount.message
    assert (age.subject, age.measure, age.threshold) == ("age", "missing share", 0.1)
    assert "missing 0.0% -> " in age.message


def test_drift_can_watch_some_features_only(found: tuple[Distance, ...]) -> None:
    assert [f.subject for f in evaluate([Alert.drift(features=["age", "count"])], found, None)] == ["age"]
    assert evaluate([Alert.drift(threshold=0.9, features=["amount"])], found, None) == ()
    with pytest.raises(FeatureNotFound, match="did you mean 'amount'"):
        evaluate([Alert.drift(features=["amuont"])], found, None)
    assert evaluate([Alert.drift(features=["amount"])], (), None) == ()


def test_one_subject_fires_once_and_the_worst_comes_first(found: tuple[Distance, ...]) -> None:
    alerts = [Alert.drift(), Alert.drift(measure="psi"), Alert.drift(measure="js", threshold=0.1)]
    firings = evaluate(alerts, found, None)
    assert sorted(f.subject for f in firings) == ["age", "amount"]
    assert firings[0].measure == "psi"


def test_quality_fires_past_its_bound() -> None:
    alert = Alert.quality("average_precision", below=0.6)
    (firing,) = evaluate([alert], (), good(average_precision=0.41))
    assert (firing.kind, firing.subject, firing.figure, firing.threshold) == (
        "quality",
        "average_precision",
        0.41,
        0.6,
    )
    assert firing.message == "average_precision 0.410 < 0.6 (100 labels, 50% of the decisions)"
    assert evaluate([alert], (), good(average_precision=0.6)) == ()
    loss = Alert.quality("log_loss", above=0.3)
    assert evaluate([loss], (), good(log_loss=0.4))[0].message.startswith("log_loss 0.400 > 0.3")
    assert evaluate([loss], (), good(log_loss=0.2)) == ()


def test_quality_is_silent_without_enough_labels_or_a_figure() -> None:
    alert = Alert.quality("average_precision", below=0.6)
    assert evaluate([alert], (), None) == ()
    assert evaluate([alert], (), good(average_precision=float("nan"))) == ()
    assert evaluate([alert], (), good(roc_auc=0.1)) == ()
    few = Quality(decisions=200, labelled=49, positives=1, metrics={"average_precision": 0.0})
    assert evaluate([alert], (), few) == ()
    assert evaluate([Alert.quality("average_precision", below=0.6, min_labels=49)], (), few)[0].figure == 0.0


def test_a_senseless_alert_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'average_precision'"):
        Alert.quality("average_precison", below=0.5)
    with pytest.raises(DefinitionError, match="exactly one"):
        Alert.quality("roc_auc")
    with pytest.raises(DefinitionError, match="exactly one"):
        Alert.quality("roc_auc", below=0.5, above=0.9)
    with pytest.raises(DefinitionError, match="threshold"):
        Alert.drift(threshold=-1)
