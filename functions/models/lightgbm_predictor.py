"""LightGBM's own models, to predict with: a Booster, or one of its estimators."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..training.lightgbm_model import LightGBMBooster
from .adding_up import adding_up
from .feature_names import feature_names, unexplained

Floats = npt.NDArray[np.float64]
_LINKS = {
    "binary sigmoid:1": "logit", "cross_entropy": "logit", "regression": "identity", "regression_l1": "identity",
    "huber": "identity", "fair": "identity", "quantile": "identity", "mape": "identity", "poisson": "log",
    "gamma": "log", "tweedie": "log",
}  # fmt: skip


class LightGBMPredictor:
    """Scores as the objective has them: a probability, one a class, or a value. Travels as LightGBM's text.

    `link` is what makes a score of a margin: "identity", "logit", "log", or empty for anything else.
    """

    def __init__(self, data: bytes, *, features: tuple[str, ...], name: str, version: str) -> None:
        self.features = features
        self.name = name
        self.version = version
        self._booster = LightGBMBooster(data)
        said = re.search(rb"^objective=(.*)$", data, re.MULTILINE)
        self.link = _LINKS.get(said[1].decode().strip() if said else "", "")
        self.explains = bool(self._booster.live.num_model_per_iteration() == 1)

    @classmethod
    def of(cls, booster: Any, features: Sequence[str] = (), *, name: str = "", version: str = "") -> Self:
        """From a live Booster, up to the round that was best where one is known."""
        said = name or type(booster).__name__
        known = booster.feature_name()
        count = booster.num_feature()
        nameless = known == [f"Column_{place}" for place in range(count)]
        names = feature_names(said, None if nameless else known, given=features, count=count)
        return cls(booster.model_to_string().encode(), features=names, name=said, version=version)

    def predict(self, rows: Floats) -> Floats:
        """n, or n x classes."""
        out: Floats = self._booster.live.predict(rows, num_threads=1)
        return out

    def margins(self, rows: Floats) -> Floats:
        """What the link is put on: the trees' sum."""
        return self._booster.margins(rows).astype(np.float64)

    def explain(self, rows: Floats) -> Floats:
        """TreeSHAP (Lundberg 2018), rows x (features + 1); raises `InputError` for several classes."""
        if not self.explains:
            raise unexplained(self.name, classes=True)
        parts = self._booster.contributions(rows).astype(np.float64)
        return adding_up(parts, self._booster.margins(rows), model=self.name)

    def content(self) -> str:
        """A hash of what it has learned."""
        return hashlib.sha256(self._booster.data).hexdigest()


def predictor(model: Any, features: Sequence[str] = ()) -> LightGBMPredictor:
    """From a Booster, or an estimator like LGBMClassifier; raises `DefinitionError`."""
    booster = model.booster_ if hasattr(model, "booster_") else model
    return LightGBMPredictor.of(booster, features, name=type(model).__name__)
