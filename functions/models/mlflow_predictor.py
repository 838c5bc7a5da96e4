"""Models of MLflow: one that the user has loaded, or a folder whose files are in their library's own format."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.errors import DefinitionError, InputError
from ..training.lightgbm_model import LightGBMBooster
from ..training.xgboost_model import XGBoostBooster
from .feature_names import feature_names, unexplained
from .lightgbm_predictor import LightGBMPredictor
from .xgboost_predictor import XGBoostPredictor

Floats = npt.NDArray[np.float64]
# What MLflow's own wrapper would ask for the label only is asked itself, for probabilities and contributions.
_ASKED_ITSELF = ("sklearn", "xgboost", "lightgbm")
_TYPES = {"integer": np.int32, "long": np.int64, "float": np.float32, "boolean": np.bool_}


class MLflowPredictor:
    """A `mlflow.pyfunc` model: what its predict gives, a number or several."""

    explains = False
    link = ""

    def __init__(self, model: Any, features: tuple[str, ...]) -> None:
        self.features = features
        self.name = str(getattr(model.metadata, "name", None) or "pyfunc")
        self.version = ""
        self._model = model
        told = model.metadata.signature
        types = {} if told is None or told.inputs is None else {one.name: one.type.name for one in told.inputs}
        self._types = {name: _TYPES[kind] for name in features if (kind := types.get(name)) in _TYPES}

    def predict(self, rows: Floats) -> Floats:
        """n, or n x outputs; raises `InputError` for a null where the signature has whole numbers."""
        import pandas as pd

        columns: dict[str, Any] = {}
        for place, name in enumerate(self.features):
            column = rows[:, place]
            if name in self._types:
                if self._types[name] is not np.float32 and np.isnan(column).any():
                    raise InputError(f"{name!r} is null, which {self.name}'s signature has no place for")
                column = column.astype(self._types[name])
            columns[name] = column
        out = np.asarray(self._model.predict(pd.DataFrame(columns)), dtype=np.float64)
        return out[:, 0] if out.ndim == 2 and out.shape[1] == 1 else out

    def explain(self, rows: Floats) -> Floats:
        """Raises `InputError`."""
        raise unexplained(self.name, classes=False)

    def content(self) -> str:
        """A hash that tells this logged model from any other."""
        about = self._model.metadata
        return hashlib.sha256(f"{about.model_uuid}:{about.run_id}:{about.utc_time_created}".encode()).hexdigest()


def predictor(model: Any, features: Sequence[str] = ()) -> Any:
    """From an object of `mlflow.pyfunc.load_model`; raises `DefinitionError`."""
    if not hasattr(model, "metadata"):
        raise DefinitionError(f"{type(model).__name__} does not predict: give what mlflow.pyfunc.load_model returns")
    told = model.metadata.signature
    known = None if told is None or told.inputs is None else _names(told.inputs.to_dict())
    names = feature_names("the pyfunc model", known, given=features, count=None)
    raw = getattr(model, "loader_module", "").removeprefix("mlflow.")
    if raw in _ASKED_ITSELF:
        itself = model.get_raw_model()
        own = importlib.import_module(f".{raw}_predictor", __package__).predictor
        return own(itself, () if _has_names(itself) else names)
    return MLflowPredictor(model, names)


def stored(folder: Path, features: Sequence[str] = (), *, name: str, version: str, allow_pickle: bool = False) -> Any:
    """The model in a folder that MLflow wrote; raises `DefinitionError` for one that only its library can read.

    XGBoost's UBJSON and JSON and LightGBM's text are read. A pickle could run anything, so what MLflow reads by one (or
    by code beside it) is read with `allow_pickle` only.
    """
    import yaml

    about = yaml.safe_load((folder / "MLmodel").read_text())
    flavors = about.get("flavors", {})
    signature = json.loads((about.get("signature") or {}).get("inputs") or "[]")
    known = tuple(features) or _names(signature)
    for flavor, read in (("xgboost", _xgboost), ("lightgbm", _lightgbm)):
        found = flavors.get(flavor)
        if found is not None and (made := read(folder, found, known, name, version)) is not None:
            return made
    if allow_pickle:
        import mlflow.pyfunc

        made = predictor(mlflow.pyfunc.load_model(str(folder)), features)
        made.name, made.version = name, version
        return made
    kinds = " and ".join(sorted(kind for kind in flavors if kind != "python_function")) or "python_function"
    raise DefinitionError(
        f"models:/{name}/{version} is stored as a pickle or the like ({kinds}), and reading one runs whatever code it "
        "names. If you trust who logged it, say so and hand in the object: "
        f"g.predict(ModelRegistry().predictor('models:/{name}/{version}', allow_pickle=True))"
    )


def _xgboost(
    folder: Path, flavor: dict[str, Any], features: Sequence[str], name: str, version: str
) -> XGBoostPredictor | None:
    file = _inside(folder, str(flavor.get("data", "")))
    if file.suffix not in (".ubj", ".json"):
        return None
    live = XGBoostBooster(file.read_bytes()).live
    return XGBoostPredictor.of(
        live,
        () if live.feature_names else features,
        name=name,
        version=version,
        is_estimator="sklearn" in str(flavor.get("model_class", "")),
    )


def _lightgbm(
    folder: Path, flavor: dict[str, Any], features: Sequence[str], name: str, version: str
) -> LightGBMPredictor | None:
    if flavor.get("model_class") != "lightgbm.basic.Booster":
        return None  # MLflow keeps the estimators as pickles
    live = LightGBMBooster(_inside(folder, str(flavor.get("data", ""))).read_bytes()).live
    is_named = live.feature_name() != [f"Column_{place}" for place in range(live.num_feature())]
    return LightGBMPredictor.of(live, () if is_named else features, name=name, version=version)


def _inside(folder: Path, name: str) -> Path:
    """The file of that name in the folder, not a way out of it."""
    file = (folder / name).resolve()
    if not name or not file.is_relative_to(folder.resolve()):
        raise InputError(f"the model in {folder} names a file outside of it: {name!r}; log it again")
    return file


def _names(inputs: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(str(one["name"]) for one in inputs if one.get("name"))


def _has_names(model: Any) -> bool:
    if hasattr(model, "feature_name"):
        return bool(model.feature_name() != [f"Column_{place}" for place in range(model.num_feature())])
    found = getattr(model, "feature_names_in_", None)
    return found is not None or getattr(model, "feature_names", None) is not None
