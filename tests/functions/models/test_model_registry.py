"""Versions and aliases of real models in MLflow's SQLite store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eagleray.functions.models.model import Member, Model
from eagleray.functions.models.model_registry import ModelRegistry, ModelUri
from eagleray.functions.training.learner import Fold, learner
from eagleray.runtime.errors import InputError, ModelNotFound
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)


def trained(name: str, fold: Fold, kind: str = "xgboost") -> Model:
    one = learner(kind)
    data = one.trainer(fold).refit(one.starts(1600)[0], rounds=5, seed=0)
    return Model(
        name=name, task="classification", label="clicked", features=("a", "b", "c", "d"),
        members=(Member(kind, one.booster(data), 1.0),), metrics={"roc_auc": 0.8}, attachments={"profile.bin": b"1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def registry(tracked: Settings) -> ModelRegistry:
    return ModelRegistry(tracked)


def test_a_registered_model_is_loaded_by_version_by_alias_and_as_the_newest(
    registry: ModelRegistry, fold: Fold
) -> None:
    first = registry.register(trained("loaded", fold))
    second = registry.register(replace(first, version="", attachments={"profile.bin": b"2"}), run_id=first.run_id)
    assert (first.version, second.version) == ("1", "2")
    registry.promote("loaded", version="1", alias="champion")
    assert registry.load("models:/loaded@champion").attachments == {"profile.bin": b"1"}
    newest = registry.load("models:/loaded")
    assert (newest.version, newest.attachments) == ("2", {"profile.bin": b"2"})
    rows = fold.x[:5].astype(np.float64)
    assert registry.load("models:/loaded/1").predict(rows).tolist() == first.predict(rows).tolist()


def test_promoting_moves_the_alias(registry: ModelRegistry, fold: Fold) -> None:
    model = trained("moved", fold)
    for _ in range(2):
        registry.register(model)
    registry.promote("moved", version="1", alias="champion")
    assert registry.promote("moved", version="2", alias="champion").aliases == ("champion",)
    assert [(v.version, v.aliases) for v in registry.versions("moved")] == [("2", ("champion",)), ("1", ())]


def test_a_folder_serves_without_mlflow(registry: ModelRegistry, fold: Fold) -> None:
    model = registry.register(trained("foldered", fold))
    found = Model.load(registry.folder("models:/foldered/1"))
    assert replace(found, version="1", members=()) == replace(model, members=())


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_plain_mlflow_loads_a_model_of_one_booster(
    registry: ModelRegistry, tracked: Settings, fold: Fold, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    import mlflow

    model = registry.register(trained(f"plain-{kind}", fold, kind))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.tracking)  # MLflow sets it, too, and nobody would take it back
    mlflow.set_tracking_uri(tracked.tracking)
    booster = importlib.import_module(f"mlflow.{kind}").load_model(f"models:/plain-{kind}/1")
    rows = fold.x[:20]
    scores = booster.inplace_predict(rows) if kind == "xgboost" else booster.predict(rows)
    assert scores == pytest.approx(model.predict(rows), abs=1e-6)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("models:/foundd", "no model 'foundd'; did you mean 'found'"),
        ("models:/found/9", "model 'found' has no version 9; the newest is 1"),
        ("models:/found@champoin", "no alias 'champoin'; did you mean 'champion'"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(registry: ModelRegistry, fold: Fold, uri: str, says: str) -> None:
    if "found" not in registry.names():
        registry.register(trained("found", fold))
        registry.promote("found", version="1", alias="champion")
    with pytest.raises(ModelNotFound, match=says):
        registry.load(uri)


@pytest.mark.parametrize("uri", ["fraud", "models:/", "models:/a/b", "models:/a@b@c", "models:/a/1@b", "runs:/1/model"])
def test_an_address_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="write 'models:/NAME@ALIAS' or 'models:/NAME/3'"):
        ModelUri.parse(uri)


def test_names_and_aliases_that_no_address_could_hold_are_refused(registry: ModelRegistry, fold: Fold) -> None:
    model = trained("named", fold)
    with pytest.raises(InputError, match="a model cannot be called 'a/b'"):
        registry.register(replace(model, name="a/b"))
    registry.register(model)
    with pytest.raises(InputError, match="an alias cannot be 'a b'"):
        registry.promote("named", version="1", alias="a b")
    with pytest.raises(ModelNotFound, match="no version 7"):
        registry.promote("named", version="7", alias="champion")
