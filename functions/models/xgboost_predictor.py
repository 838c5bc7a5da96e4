"""XGBoost's own models, to predict with: a Booster, or one of its estimators."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..training.xgboost_model import XGBoostBooster
from .adding_up import adding_up
from .feature_names import feature_names, unexplained

Floats = npt.NDArray[np.float64]
_LINKS = {
    "binary:logistic": "logit", "reg:logistic": "logit", "binary:logitraw": "identity", "reg:squarederror": "identity",
    "reg:absoluteerror": "identity", "reg:pseudohubererror": "identity", "count:poisson": "log", "reg:gamma": "log",
    "reg:tweedie": "log",
}  # fmt: skip


class XGBoostPredictor:
    """Scores as the objective has them: a probability, one a class, or a value. Travels as UBJSON.

    `link` is what makes a score of a margin: "identity", "logit", "log", or empty for anything else.
    """

    def __init__(self, data: bytes, *, features: tuple[str, ...], name: str, version: str, missing: float) -> None:
        self.features = features
        self.name = name
        self.version = version
        self._missing = missing
        self._booster = XGBoostBooster(data)
        learner = json.loads(self._booster.live.save_config())["learner"]
        objective = str(learner["objective"]["name"])
        self.link = _LINKS.get(objective, "")
        self._is_softmax = objective == "multi:softmax"
        classes, targets = (int(learner["learner_model_param"][key]) for key in ("num_class", "num_target"))
        self.explains = classes < 2 and targets < 2

    @classmethod
    def of(
        cls,
        booster: Any,
        features: Sequence[str] = (),
        *,
        name: str = "",
        version: str = "",
        is_estimator: bool = False,
    ) -> Self:
        """From a live Booster; an estimator stops at the round that was best."""
        said = name or type(booster).__name__
        names = feature_names(said, booster.feature_names, given=features, count=booster.num_features())
        best = booster.attr("best_iteration") if is_estimator else None
        if best is not None and '"gblinear"' not in booster.save_config():
            booster = booster[: int(best) + 1]
        data = bytes(booster.save_raw("ubj"))
        return cls(data, features=names, name=said, version=version, missing=float("nan"))

    def predict(self, rows: Floats) -> Floats:
        """n, or n x classes."""
        ready = self._ready(rows)
        out = (self._booster.margins(ready) if self._is_softmax else self._booster.scores(ready)).astype(np.float64)
        if self._is_softmax:
            powers = np.exp(out - out.max(axis=1, keepdims=True))
            out = powers / powers.sum(axis=1, keepdims=True)
        found: Floats = out
        return found

    def margins(self, rows: Floats) -> Floats:
        """What the link is put on: the trees' sum."""
        return self._booster.margins(self._ready(rows)).astype(np.float64)

    def explain(self, rows: Floats) -> Floats:
        """TreeSHAP (Lundberg 2018), rows x (features + 1); raises `InputError` for several classes."""
        if not self.explains:
            raise unexplained(self.name, classes=True)
        ready = self._ready(rows)
        parts = self._booster.contributions(ready).astype(np.float64)
        return adding_up(parts, self._booster.margins(ready), model=self.name)

    def content(self) -> str:
        """A hash of what it has learned."""
        return hashlib.sha256(self._booster.data + str(self._missing).encode()).hexdigest()

    def taking(self, missing: float) -> Self:
        """The same, with a number that stands for null."""
        return type(self)(
            self._booster.data, features=self.features, name=self.name, version=self.version, missing=missing
        )

    def _ready(self, rows: Floats) -> npt.NDArray[np.float32]:
        found = rows if np.isnan(self._missing) else np.where(rows == self._missing, np.nan, rows)
        return np.ascontiguousarray(found, dtype=np.float32)


def predictor(model: Any, features: Sequence[str] = ()) -> XGBoostPredictor:
    """From a Booster, or an estimator like XGBClassifier; raises `DefinitionError`."""
    name = type(model).__name__
    if not hasattr(model, "get_booster"):
        return XGBoostPredictor.of(model, features, name=name)
    made = XGBoostPredictor.of(model.get_booster(), features, name=name, is_estimator=True)
    missing = getattr(model, "missing", None)
    return made if missing is None or np.isnan(missing) else made.taking(float(missing))
