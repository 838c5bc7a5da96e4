"""A feature store's training set, handed to a search as it is."""

from __future__ import annotations

import polars as pl
import pytest

from eagleray import ReasonCodes, Settings
from eagleray.featurestore.offline.training_set import Local, TrainingSet
from eagleray.functions.automl import AutoMLOptions, fit
from eagleray.functions.fitting.handed import Handed, handed
from eagleray.runtime.errors import DefinitionError


@pytest.fixture
def training(clicks: pl.DataFrame) -> TrainingSet:
    """Keys, times and a number that serving does not have stand beside the features."""
    frame = clicks.select("who", "at", "a", "b", "clicked", pl.lit(1.5).alias("paid_later"), number=pl.int_range(2000))
    return TrainingSet(Local(frame), ("a", "b"), {"clicks:v3": 7}, "clicked", "clicks-vector")


def test_only_the_vectors_features_teach_and_the_model_keeps_vector_and_pins(
    ray_cluster: Settings, training: TrainingSet
) -> None:
    codes = ReasonCodes({"a": "much of a"}, version="1")
    options = AutoMLOptions(track=False, learners=("xgboost",), workers=1, trials=1, reasons=codes)
    model = fit(training, label="clicked", budget_s=3.0, time_column="at", options=options).model
    assert model.features == ("a", "b")
    assert (model.feature_vector, model.origin.pins) == ("clicks-vector", {"clicks:v3": 7})
    assert model.reasons == codes
    assert list(model.profile) == ["a", "b"]
    wrong = AutoMLOptions(track=False, reasons=ReasonCodes({"c": "much of c"}, version="1"))
    with pytest.raises(DefinitionError, match="'c', no feature of the model"):
        fit(training, label="clicked", time_column="at", options=wrong)


def test_a_plain_frame_tells_nothing(clicks: pl.DataFrame, training: TrainingSet) -> None:
    assert handed(clicks) == Handed()
    assert Handed().beside(["a", "b"], ["a"]) == ()
    told = handed(training)
    assert told.beside(["who", "a", "clicked", "at"], ["clicked", "at"]) == ("who",)
    assert told.features == ("a", "b")
