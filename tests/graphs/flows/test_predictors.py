"""Models of other libraries in a predict step: each scores as its own library does, and travels."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC

from eagleray.functions.models.model_registry import ModelRegistry
from eagleray.functions.runs.mlflow_store import make_store
from eagleray.graphs.flows.compile import version
from eagleray.graphs.flows.predictors import declared, predictor
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError, ModelMismatch
from eagleray.runtime.settings import Settings

from ..parts import TableVector

RNG = np.random.default_rng(3)
X = RNG.normal(size=(400, 3))
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
BINARY = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
THREE = np.digitize(X[:, 0] + 0.3 * X[:, 1], [-0.5, 0.5])
VALUE = 3 * X[:, 0] - X[:, 1] + 0.5
NAMES = ("a", "b", "c")
NEW = np.vstack([RNG.normal(size=(20, 3)), np.zeros((1, 3))])
NEW_FRAME = pd.DataFrame(NEW, columns=list(NAMES))
QUIET: dict[str, Any] = {"verbosity": -1, "num_threads": 1}


def xgb(objective: str, labels: np.ndarray, **more: Any) -> xgboost.Booster:
    data = xgboost.DMatrix(X, labels, feature_names=list(NAMES))
    depth = {} if more.get("booster") == "gblinear" else {"max_depth": 3}
    return xgboost.train({"objective": objective, "nthread": 1, **depth, **more}, data, 12)


def lgb(objective: str, labels: np.ndarray, **more: Any) -> lightgbm.Booster:
    return lightgbm.train({"objective": objective, **QUIET, **more}, lightgbm.Dataset(FRAME, labels), 12)


def matrix(rows: np.ndarray) -> xgboost.DMatrix:
    return xgboost.DMatrix(rows, feature_names=list(NAMES))


def softmax(margins: np.ndarray) -> Any:
    powers = np.exp(margins)
    return powers / powers.sum(axis=1, keepdims=True)


def early() -> xgboost.XGBClassifier:
    """One that was best long before its last round."""
    made = xgboost.XGBClassifier(n_estimators=80, learning_rate=1.0, early_stopping_rounds=60, n_jobs=1)
    return made.fit(FRAME[:200], BINARY[:200], eval_set=[(FRAME[200:], BINARY[200:])], verbose=False)


def columns() -> Any:
    """A pipeline that chooses its columns by name."""
    chosen = ColumnTransformer([("x", StandardScaler(), ["c", "a"])], remainder="passthrough")
    return make_pipeline(chosen, LogisticRegression()).fit(FRAME, BINARY)


MODELS: dict[str, tuple[Any, Any]] = {
    "xgb binary": (lambda: xgb("binary:logistic", BINARY), lambda m: m.predict(matrix(NEW))),
    "xgb softprob": (lambda: xgb("multi:softprob", THREE, num_class=3), lambda m: m.predict(matrix(NEW))),
    "xgb softmax": (
        lambda: xgb("multi:softmax", THREE, num_class=3),
        lambda m: softmax(m.predict(matrix(NEW), output_margin=True)),
    ),
    "xgb poisson": (lambda: xgb("count:poisson", THREE), lambda m: m.predict(matrix(NEW))),
    "xgb linear": (lambda: xgb("binary:logistic", BINARY, booster="gblinear"), lambda m: m.predict(matrix(NEW))),
    "xgb dart": (lambda: xgb("reg:squarederror", VALUE, booster="dart"), lambda m: m.predict(matrix(NEW))),
    "XGBClassifier": (
        lambda: xgboost.XGBClassifier(n_estimators=9, n_jobs=1).fit(FRAME, BINARY),
        lambda m: m.predict_proba(NEW_FRAME)[:, 1],
    ),
    "XGBClassifier stopped": (early, lambda m: m.predict_proba(NEW_FRAME)[:, 1]),
    "XGBClassifier three": (
        lambda: xgboost.XGBClassifier(n_estimators=9, n_jobs=1).fit(FRAME, THREE),
        lambda m: m.predict_proba(NEW_FRAME),
    ),
    "XGBRegressor missing": (
        lambda: xgboost.XGBRegressor(n_estimators=9, missing=0.0, n_jobs=1).fit(FRAME, VALUE),
        lambda m: m.predict(NEW_FRAME),
    ),
    "lgb binary": (lambda: lgb("binary", BINARY), lambda m: m.predict(NEW)),
    "lgb three": (lambda: lgb("multiclass", THREE, num_class=3), lambda m: m.predict(NEW)),
    "LGBMClassifier": (
        lambda: lightgbm.LGBMClassifier(n_estimators=9, **QUIET).fit(FRAME, BINARY),
        lambda m: m.predict_proba(NEW_FRAME)[:, 1],
    ),
    "LGBMRegressor": (
        lambda: lightgbm.LGBMRegressor(n_estimators=9, **QUIET).fit(FRAME, VALUE),
        lambda m: m.predict(NEW_FRAME),
    ),
    "logistic": (lambda: LogisticRegression().fit(FRAME, BINARY), lambda m: m.predict_proba(NEW_FRAME)[:, 1]),
    "logistic three": (lambda: LogisticRegression().fit(FRAME, THREE), lambda m: m.predict_proba(NEW_FRAME)),
    "scaled logistic": (
        lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, BINARY),
        lambda m: m.predict_proba(NEW_FRAME)[:, 1],
    ),
    "pipeline by column": (columns, lambda m: m.predict_proba(NEW_FRAME)[:, 1]),
    "forest": (
        lambda: RandomForestClassifier(9, random_state=0).fit(FRAME, BINARY),
        lambda m: m.predict_proba(NEW_FRAME)[:, 1],
    ),
    "poisson": (lambda: PoissonRegressor().fit(FRAME, np.exp(VALUE / 4)), lambda m: m.predict(NEW_FRAME)),
    "linear": (lambda: LinearRegression().fit(FRAME, VALUE), lambda m: m.predict(NEW_FRAME)),
    "linear svc": (lambda: LinearSVC().fit(FRAME, BINARY), lambda m: m.predict(NEW_FRAME)),
    "outliers": (lambda: IsolationForest(n_estimators=9, random_state=0).fit(FRAME), lambda m: m.predict(NEW_FRAME)),
}


@pytest.mark.parametrize("which", MODELS)
def test_it_scores_as_its_own_library_does(which: str) -> None:
    train, own = MODELS[which]
    model = train()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = declared("g", model)
        got = found.predict(NEW)
    assert found.features == NAMES
    assert got.dtype == np.float64
    assert got == pytest.approx(np.asarray(own(model), dtype=np.float64), abs=1e-6)
    travelled = pickle.loads(pickle.dumps(found))
    assert travelled.predict(NEW).tolist() == got.tolist()
    assert travelled.content() == found.content() == declared("g", train()).content()
    if not found.explains:
        with pytest.raises(InputError, match="contributions"):
            found.explain(NEW)
        return
    margins = found.explain(NEW).sum(axis=1)
    links: dict[str, Any] = {"identity": lambda m: m, "logit": lambda m: 1 / (1 + np.exp(-m)), "log": np.exp}
    assert found.margins(NEW) == pytest.approx(margins, abs=1e-5)
    if found.link:
        assert links[found.link](margins) == pytest.approx(got, abs=1e-5)


def test_who_is_explained_and_by_what_link() -> None:
    links = {name: (found.link if (found := declared("g", MODELS[name][0]())).explains else None) for name in MODELS}
    assert links == {
        "xgb binary": "logit", "xgb softprob": None, "xgb softmax": None, "xgb poisson": "log",
        "xgb linear": "logit", "xgb dart": "identity",
        "XGBClassifier": "logit", "XGBClassifier stopped": "logit", "XGBClassifier three": None,
        "XGBRegressor missing": "identity", "lgb binary": "logit", "lgb three": None, "LGBMClassifier": "logit",
        "LGBMRegressor": "identity", "logistic": "logit", "logistic three": None, "scaled logistic": "logit",
        "pipeline by column": None, "forest": None, "poisson": "log", "linear": "identity", "linear svc": "",
        "outliers": None,
    }  # fmt: skip


def test_what_was_learned_is_the_version() -> None:
    def graph(model: Any) -> str:
        g = Graph("g")
        return version(g.to(g.predict(model)).steps)

    one, again = (graph(xgb("binary:logistic", BINARY)) for _ in range(2))
    assert one == again != graph(xgb("binary:logistic", BINARY, max_depth=2))
    lines = [graph(LinearRegression().fit(FRAME, VALUE * factor)) for factor in (1, 1, 2)]
    assert lines[0] == lines[1] != lines[2]


def test_class_scores_reach_the_answer_beside_plain_ones() -> None:
    g = Graph("g")
    ways = {"two": g.predict(xgb("binary:logistic", BINARY), name="two")}
    ways["three"] = g.predict(LogisticRegression().fit(FRAME, THREE), name="three")
    g.to(g.router(ways, by="kind")).respond("kind")
    bodies = [{"kind": kind, "a": 1, "b": 0.5, "c": None if kind == "two" else 0} for kind in ("two", "three", "two")]
    first, second, third = g.test(bodies)
    assert 0 < first["score"] < 1
    assert first["score"] == third["score"]
    assert len(second["score"]) == 3
    assert sum(second["score"]) == pytest.approx(1)


def test_a_fallback_may_be_one_a_class() -> None:
    class Broken:
        features = ("a",)

        def predict(self, rows: Any) -> Any:
            raise ValueError("broken")

    g = Graph("g")
    assert g.to(g.predict(Broken()).fallback([0.5, 0.5])).test({"a": 1})["score"] == [0.5, 0.5]


def test_names_are_asked_for_and_must_fit() -> None:
    g = Graph("g")
    nameless = LogisticRegression().fit(X, BINARY)
    named = LogisticRegression().fit(FRAME, BINARY)
    assert g.predict(nameless, features=["c", "b", "a"]).subject.features == ("c", "b", "a")
    bare = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, VALUE), 2)
    assert g.predict(bare, features=NAMES).subject.features == NAMES
    assert g.predict(lightgbm.train(QUIET, lightgbm.Dataset(X, VALUE), 2), features=NAMES).subject.features == NAMES
    for model, features, said in [
        (nameless, (), "g: LogisticRegression does not know what its features are called: name them"),
        (bare, (), "Booster does not know what its features are called"),
        (nameless, ("a", "b"), "takes 3 features, but features= has 2: 'a', 'b'"),
        (nameless, ("a", "b", "a"), "two features called 'a'"),
        (nameless, "abc", "give the names in a list"),
        (named, ("c", "b", "a"), "knows its features: 'a', 'b', 'c'; leave features= out"),
        (LogisticRegression(), NAMES, "is not fitted"),
        (StandardScaler().fit(FRAME), (), "does not predict"),
        (LinearSVC().fit(FRAME, BINARY.astype(str)), (), "wrap it in a CalibratedClassifierCV"),
    ]:
        with pytest.raises(DefinitionError, match=said):
            g.predict(model, features=features)


class Enriched(TableVector):
    """A vector whose features are known when it is declared."""

    on_demand_columns = ()

    def refs(self) -> tuple[Any, ...]:
        return ()


def test_what_does_not_fit_the_vector_or_the_question_is_told_when_it_is_written() -> None:
    g = Graph("g")
    g.to(g.enrich(Enriched()))
    with pytest.raises(ModelMismatch, match="lacks a, b, c and the model does not know amount"):
        g.to(g.predict(lgb("binary", BINARY)))
    h = Graph("h")
    h.to(h.predict(RandomForestClassifier(3, random_state=0).fit(FRAME, BINARY)))
    with pytest.raises(DefinitionError, match="the score of 'predict' has no exact contributions"):
        h.to(h.explain())


def test_sgd_and_polynomials_are_not_taken_for_what_they_are_not() -> None:
    huber = SGDClassifier(loss="modified_huber", random_state=0).fit(FRAME, BINARY)
    assert (declared("g", huber).explains, declared("g", huber).link) == (True, "")
    squares = make_pipeline(PolynomialFeatures(1, include_bias=False), LinearRegression()).fit(FRAME, VALUE)
    assert not declared("g", squares).explains


def test_an_object_in_the_manner_of_scikit_learn_will_do() -> None:
    class Sum:
        def predict(self, rows: Any) -> Any:
            return rows.sum(axis=1, keepdims=True)

    g = Graph("g")
    g.to(g.predict(Sum(), features=["x", "y"])).respond()
    assert g.test({"x": 1, "y": 2})["score"] == 3.0


@pytest.mark.filterwarnings("ignore")  # what MLflow's own imports and models emit
def test_models_that_mlflow_has_logged(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(settings.home.parent)  # where MLflow makes a database of its own accord
    settings.home.mkdir(parents=True)
    make_store(Path(settings.tracking.removeprefix("sqlite:///")))
    import mlflow

    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking)  # MLflow sets it, too, and nobody would take it back
    mlflow.set_tracking_uri(settings.tracking)
    boosted, text = (
        xgboost.XGBClassifier(n_estimators=9, n_jobs=1).fit(FRAME, BINARY),
        lgb("multiclass", THREE, num_class=3),
    )
    plain = LogisticRegression().fit(FRAME, BINARY)
    try:
        place = (settings.home / "artifacts").as_uri()
        with mlflow.start_run(experiment_id=mlflow.create_experiment("e", artifact_location=place)):
            for name, log, model in (
                ("boosted", mlflow.xgboost, boosted),
                ("text", mlflow.lightgbm, text),
                ("plain", mlflow.sklearn, plain),
            ):
                more: dict[str, Any] = {"serialization_format": "cloudpickle"} if name == "plain" else {}
                signature = mlflow.models.infer_signature(FRAME, BINARY)
                log.log_model(
                    model,
                    name=name,
                    registered_model_name=name,
                    signature=signature,
                    conda_env={"dependencies": ["python"]},
                    **more,
                )
        loaded = {name: mlflow.pyfunc.load_model(f"models:/{name}/1") for name in ("boosted", "plain")}
        whole = {"x": np.arange(3), "y": np.linspace(0, 1, 3)}

        class Adds(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined, unused-ignore]
            def predict(self, context, model_input, params=None):
                assert str(model_input["x"].dtype) == "int64"
                return model_input["x"] + model_input["y"]

        signature = mlflow.models.infer_signature(pd.DataFrame(whole))
        mlflow.pyfunc.save_model(
            settings.home / "adds", python_model=Adds(), signature=signature, conda_env={"dependencies": ["python"]}
        )
        adds = mlflow.pyfunc.load_model(str(settings.home / "adds"))
    finally:
        mlflow.set_tracking_uri(before)
    mlflow.MlflowClient(settings.tracking).set_registered_model_alias("boosted", "champion", "1")

    found = predictor("models:/boosted@champion", settings)
    assert (found.features, found.name, found.version) == (NAMES, "boosted", "1")  # type: ignore[attr-defined]
    assert found.predict(NEW) == pytest.approx(boosted.predict_proba(NEW_FRAME)[:, 1], abs=1e-6)
    assert predictor("models:/text", settings).predict(NEW) == pytest.approx(text.predict(NEW))
    with pytest.raises(
        DefinitionError, match=r"plain/1 is stored as a pickle .*If you trust who logged it.*allow_pickle"
    ):
        predictor("models:/plain/1", settings)
    trusted = ModelRegistry(settings).predictor("models:/plain/1", allow_pickle=True)
    assert (trusted.features, trusted.name, trusted.version) == (NAMES, "plain", "1")
    assert declared("g", trusted).predict(NEW) == pytest.approx(plain.predict_proba(NEW_FRAME)[:, 1])
    g = Graph("g")
    g.to(g.predict("models:/boosted@champion")).respond()
    assert g.test({"a": 1, "b": 2, "c": 3}, settings=settings)["score"] == pytest.approx(
        boosted.predict_proba(pd.DataFrame([[1, 2, 3]], columns=list(NAMES)))[0, 1]
    )
    for name, model in (("boosted", boosted), ("plain", plain)):
        got = declared("g", loaded[name])
        assert got.features == NAMES
        assert got.predict(NEW) == pytest.approx(model.predict_proba(NEW_FRAME)[:, 1], abs=1e-6)
    adding = declared("g", adds)
    assert adding.predict(np.array([[1.0, 0.5], [2.0, 0.25]])).tolist() == [1.5, 2.25]
    assert adding.content() == declared("g", adds).content()
    with pytest.raises(InputError, match="'x' is null"):
        adding.predict(np.array([[np.nan, 0.5]]))
