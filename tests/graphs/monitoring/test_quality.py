"""Labels that come late, met with the scores that were served."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from eagleray.graphs.monitoring.quality import Labelled, join, quality
from eagleray.runtime.errors import InputError


def test_metrics_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(500), 2)
    labels = (rng.random(500) < scores).astype(float)
    ids = [str(i) for i in range(800)]
    found = join(ids, np.r_[scores, np.zeros(300)], {str(i): labels[i] for i in range(500)})
    told = quality(found)
    assert (told.decisions, told.labelled, told.positives) == (800, 500, int(labels.sum()))
    assert told.coverage == 500 / 800
    assert told.metrics["average_precision"] == pytest.approx(average_precision_score(labels, scores))
    assert told.metrics["roc_auc"] == pytest.approx(roc_auc_score(labels, scores))


def test_a_repeated_decision_counts_once_and_the_last_holds() -> None:
    found = join(["a", "b", "a"], np.array([0.1, 0.2, 0.3]), {"a": 1.0})
    assert found.decisions == 2
    assert found.scores.tolist() == [0.3]


def test_what_is_not_a_number_is_not_labelled() -> None:
    found = join(["a", "b", "c"], np.array([0.1, np.nan, 0.3]), {"a": np.nan, "b": 1.0, "c": 1.0})
    assert found.scores.tolist() == [0.3]


def test_without_labels_or_positives_there_is_no_figure() -> None:
    none = quality(join(["a"], np.array([0.5]), {}))
    assert none.labelled == 0
    assert np.isnan(none.metrics["average_precision"])
    assert quality(Labelled(0, np.empty(0), np.empty(0))).coverage == 0.0
    negatives = quality(Labelled(3, np.array([0.1, 0.2, 0.3]), np.zeros(3)))
    assert np.isnan(list(negatives.metrics.values())).all()


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(InputError, match="did you mean 'roc_auc'"):
        quality(Labelled(0, np.empty(0), np.empty(0)), metrics=["roc_acu"])
