"""No model's folder, however made, gets a pickle loaded unasked: a trap in each place where MLflow would load one."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

from eagleray.functions.models.mlflow_predictor import stored
from eagleray.functions.models.model import Model
from eagleray.runtime.errors import DefinitionError

SKLEARN = {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}}
BESIDE = {"python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"}}
PYFUNC = {"python_function": {"loader_module": "mlflow.pyfunc.model", "python_model": "model.pkl"}}
FLAVORS = {
    "sklearn": SKLEARN,
    "skops": {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "skops"}},
    "beside": SKLEARN | BESIDE,
    "pyfunc": PYFUNC,
    "code": {"python_function": {"loader_module": "trap", "code": "code"}},
    "xgboost": {"xgboost": {"data": "model.pkl", "model_class": "xgboost.sklearn.XGBClassifier"}},
    "xgboost, named native": {"xgboost": {"data": "model.ubj", "model_class": "xgboost.core.Booster"}},
    "lightgbm": {"lightgbm": {"data": "model.pkl", "model_class": "lightgbm.sklearn.LGBMClassifier"}},
    "lightgbm, named native": {"lightgbm": {"data": "model.pkl", "model_class": "lightgbm.basic.Booster"}},
}
NAMED_NATIVE = {name for name in FLAVORS if "native" in name}


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.sprung),)


def laid(folder: Path, sprung: Path) -> None:
    """The trap under every name that a model's file may have."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "trap.py").write_text(f"import os\nos.mkdir({str(sprung)!r})\n")
    for name in ("model.pkl", "model.ubj", "python_model.pkl"):
        (folder / name).write_bytes(pickle.dumps(Trap(sprung)))


def test_the_trap_works(tmp_path: Path) -> None:
    laid(tmp_path / "model", tmp_path / "sprung")
    pickle.loads((tmp_path / "model" / "model.pkl").read_bytes())
    assert (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore")  # what the libraries say of a file that is none of theirs
@pytest.mark.parametrize("name", FLAVORS)
def test_a_trap_in_a_model_of_mlflow_is_never_sprung(name: str, tmp_path: Path) -> None:
    folder, sprung = tmp_path / "model", tmp_path / "sprung"
    laid(folder, sprung)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": FLAVORS[name]}))
    if name in NAMED_NATIVE:
        with pytest.raises(Exception):  # noqa: B017 - the library's own word for a damaged file
            stored(folder, ["a"], name="m", version="1")
    else:
        with pytest.raises(DefinitionError, match=r"m/1 is stored as a pickle .*'models:/m/1', allow_pickle=True\)"):
            stored(folder, ["a"], name="m", version="1")
    assert not sprung.exists()


@pytest.mark.filterwarnings("ignore")  # MLflow's, of versions that the folder does not name
@pytest.mark.parametrize(("allowed", "says"), [(False, "is stored as a pickle"), (True, "NoneType does not predict")])
def test_a_trap_is_sprung_only_where_it_is_allowed(allowed: bool, says: str, tmp_path: Path) -> None:
    """The same folder both times: what is refused is what would run. What the trap leaves behind is no model."""
    folder, sprung = tmp_path / "model", tmp_path / "sprung"
    laid(folder, sprung)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": SKLEARN | BESIDE}))
    with pytest.raises(DefinitionError, match=says):
        stored(folder, ["a"], name="m", version="1", allow_pickle=allowed)
    assert sprung.exists() is allowed


def test_a_yaml_of_mlflow_makes_no_objects(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    laid(tmp_path / "model", sprung)
    (tmp_path / "model" / "MLmodel").write_text(f"flavors: !!python/object/apply:os.mkdir [{str(sprung)!r}]\n")
    with pytest.raises(yaml.YAMLError):
        stored(tmp_path / "model", ["a"], name="m", version="1")
    assert not sprung.exists()


def test_a_trap_in_a_model_of_ours_is_never_sprung(tmp_path: Path) -> None:
    folder, sprung = tmp_path / "model", tmp_path / "sprung"
    laid(folder, sprung)
    card = (
        '{"format": 1, "name": "m", "task": "classification", "label": "y", "features": ["a"], "attachments": [],'
        ' "members": [{"learner": "LEARNER", "file": "model.pkl", "weight": 1.0}]}'
    )
    for kind in ("xgboost", "lightgbm", "forest", "linear"):
        (folder / "model.json").write_text(card.replace("LEARNER", kind))
        with pytest.raises(Exception) as caught:  # the library's own word, where it reads on first use
            Model.load(folder).members[0].booster.margins(np.zeros((1, 1), np.float32))
        assert not isinstance(caught.value, AssertionError | AttributeError)
        assert not sprung.exists()
