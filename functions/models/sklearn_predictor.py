"""Scikit-learn's estimators and pipelines, and whatever predicts in their manner."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.errors import DefinitionError
from .feature_names import feature_names, unexplained
from .learned_content import learned_content

Floats = npt.NDArray[np.float64]
# Steps that make of each column one column, so that a linear model behind them still has one part a feature.
_ONE_TO_ONE = (
    "StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "PowerTransformer", "QuantileTransformer",
)  # fmt: skip


class SklearnPredictor:
    """The probability of the second class, one probability a class where there are more, or the value predicted.

    `link` is what makes the score of a linear model's margin: "identity", "logit", "log", or empty.
    """

    version = ""

    def __init__(self, model: Any, features: tuple[str, ...]) -> None:
        self.features = features
        self.name = type(model).__name__
        self._is_framed = _knows_names(model) and any(map(_knows_names, _inside(model)))
        self._model = model if self._is_framed else _without_names(model)
        self._probabilities = hasattr(model, "predict_proba")
        *before, self._last = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
        self._before = [step for step in before if step not in ("passthrough", None)]
        self.explains = self._is_linear()
        self.link = self._link() if self.explains else ""

    def predict(self, rows: Floats) -> Floats:
        """n, or n x classes."""
        given = self._given(rows)
        if not self._probabilities:
            out = np.asarray(self._model.predict(given), dtype=np.float64)
            return out[:, 0] if out.ndim == 2 and out.shape[1] == 1 else out
        shares = np.asarray(self._model.predict_proba(given), dtype=np.float64)
        return shares[:, 1] if shares.shape[1] == 2 else shares

    def margins(self, rows: Floats) -> Floats:
        """The weighted sum that the link is put on; raises `InputError` where there is none."""
        out: Floats = self.explain(rows).sum(axis=1)
        return out

    def explain(self, rows: Floats) -> Floats:
        """Rows x (features + 1): weight times value, and the intercept; raises `InputError` for what is not linear."""
        if not self.explains:
            raise unexplained(self.name, classes=len(getattr(self._model, "classes_", ())) > 2)
        return self._parts(rows)

    @property
    def carries(self) -> tuple[Any, ...]:
        """The estimators, whose code may be the user's own."""
        return (self._model, *_inside(self._model))

    def content(self) -> str:
        """A hash of what it has learned: equal for equal estimators."""
        return learned_content(self._model)

    def _given(self, rows: Floats) -> Any:
        if not self._is_framed:
            return rows
        import pandas as pd

        return pd.DataFrame(rows, columns=list(self.features), copy=False)

    def _parts(self, rows: Floats) -> Floats:
        found = self._given(rows)
        for step in self._before:
            found = step.transform(found)
        parts = np.asarray(found, dtype=np.float64) * np.ravel(self._last.coef_)
        return np.column_stack([parts, np.full(len(rows), np.ravel(self._last.intercept_)[0])])

    def _is_linear(self) -> bool:
        """True where weights times values are the margin; it is tried, for weights may mean other things."""
        weights = getattr(self._last, "coef_", None)
        if not isinstance(weights, np.ndarray) or weights.size != len(self.features):
            return False
        if np.size(getattr(self._last, "intercept_", ())) != 1:
            return False
        if any(type(step).__name__ not in _ONE_TO_ONE for step in self._before):
            return False
        margins = self._parts(self._tried()).sum(axis=1)
        if hasattr(self._model, "decision_function"):
            return np.allclose(self._model.decision_function(self._given(self._tried())), margins)
        scores = self.predict(self._tried())
        return np.allclose(scores, margins) or np.allclose(scores, np.exp(margins))

    def _link(self) -> str:
        scores, margins = self.predict(self._tried()), self.margins(self._tried())
        links = {"identity": margins, "logit": 1 / (1 + np.exp(-np.clip(margins, -80, 80))), "log": np.exp(margins)}
        return next((link for link, values in links.items() if np.allclose(scores, values)), "")

    def _tried(self) -> Floats:
        """Some rows to try the model with."""
        return np.random.default_rng(0).normal(scale=0.1, size=(8, len(self.features)))


def predictor(model: Any, features: Sequence[str] = ()) -> SklearnPredictor:
    """From a fitted estimator or pipeline; raises `DefinitionError`."""
    name = type(model).__name__
    if type(model).__module__.startswith("sklearn.") and hasattr(model, "fit") and not _is_fitted(model):
        raise DefinitionError(f"{name} is not fitted: call its fit() before it is given to a graph")
    if not hasattr(model, "predict"):
        raise DefinitionError(f"{name} does not predict: give an estimator, or a pipeline that ends with one")
    if getattr(model, "n_outputs_", 1) > 1 and hasattr(model, "predict_proba"):
        raise DefinitionError(f"{name} classifies several things at once: give one model for each, in an ensemble")
    classes = getattr(model, "classes_", ())
    if len(classes) and not hasattr(model, "predict_proba") and not np.issubdtype(np.asarray(classes).dtype, np.number):
        raise DefinitionError(f"{name} predicts names, not numbers: wrap it in a CalibratedClassifierCV")
    known = getattr(model, "feature_names_in_", None)
    if known is None:
        known = getattr(model, "feature_names_", None)  # CatBoost's word
    names = feature_names(
        name, None if known is None else list(known), given=features, count=getattr(model, "n_features_in_", None)
    )
    return SklearnPredictor(model, names)


def _is_fitted(model: Any) -> bool:
    told = getattr(model, "__sklearn_is_fitted__", None)
    return bool(told()) if told is not None else any(key.endswith("_") and key[0] != "_" for key in vars(model))


def _knows_names(item: Any) -> bool:
    return getattr(item, "feature_names_in_", None) is not None


def _inside(model: Any) -> Iterable[Any]:
    """The estimators that an estimator holds; those that know names of their own are given names."""
    for value in vars(model).values():
        for item in value if isinstance(value, list | tuple) else (value,):
            for one in item if isinstance(item, tuple) else (item,):
                if hasattr(one, "get_params") and not isinstance(one, type):
                    yield one
                    yield from _inside(one)


def _without_names(model: Any) -> Any:
    """A copy that takes plain arrays without a word; what it has learned is shared."""
    if "feature_names_in_" not in getattr(model, "__dict__", ()):
        return model
    twin = copy.copy(model)
    del twin.feature_names_in_
    return twin
