"""The model noun: predictions, contributions, and its folder."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eagleray.functions.evaluation.calibration import Calibration
from eagleray.functions.models.feature_profile import FeatureProfile
from eagleray.functions.models.model import Member, Model
from eagleray.functions.models.origin import Origin
from eagleray.functions.models.reason_codes import ReasonCodes
from eagleray.functions.training.learner import Fold, learner
from eagleray.runtime.errors import InputError, ModelMismatch, ModelNotFound, StorageError


@pytest.fixture(scope="module")
def members(fold: Fold) -> tuple[Member, ...]:
    """One booster of each learner, weighing 1/4 and 3/4."""
    made = []
    for name, weight in (("xgboost", 0.25), ("lightgbm", 0.75)):
        one = learner(name)
        data = one.trainer(fold).refit(one.starts(1600)[1], rounds=40, seed=0)
        made.append(Member(name, one.booster(data), weight))
    return tuple(made)


@pytest.fixture(scope="module")
def model(members: tuple[Member, ...]) -> Model:
    return Model(
        name="clicks", task="classification", label="clicked", features=("a", "b", "c", "d"), members=members,
        version="3", metrics={"roc_auc": 0.9}, signature=dict.fromkeys("abcd", "Float64"), feature_vector="clicks:v1",
        attachments={"profile.bin": b"\x00\xff"}, run_id="r1",
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows(fold: Fold) -> np.ndarray:
    return fold.x.astype(np.float64)


def test_a_prediction_is_the_logistic_of_the_members_weighted_margins(model: Model, rows: np.ndarray) -> None:
    margins = sum(m.weight * m.booster.margins(rows.astype(np.float32)) for m in model.members)
    predicted = model.predict(rows)
    assert predicted.dtype == np.float64
    assert predicted == pytest.approx(1 / (1 + np.exp(-margins)))


@pytest.mark.parametrize("which", [slice(0, 1), slice(1, 2), slice(0, 2)], ids=["xgboost", "lightgbm", "both"])
def test_contributions_add_up_to_the_margin(model: Model, rows: np.ndarray, which: slice) -> None:
    kept = model.members[which]
    one = replace(model, members=tuple(replace(m, weight=1 / len(kept)) for m in kept))
    parts = one.explain(rows)
    assert parts.shape == (2000, 5)
    assert np.abs(parts.sum(axis=1) - one.margins(rows)).max() < 1e-4
    assert np.ptp(parts[:, -1]) < 1e-6  # the base value is the same for every row
    assert np.abs(parts[:, 0]).mean() > np.abs(parts[:, 3]).mean()  # column d is noise


def test_one_row_is_predicted_as_among_others(model: Model, rows: np.ndarray) -> None:
    assert model.predict(rows[5:6])[0] == pytest.approx(model.predict(rows)[5])
    assert model.predict(rows[:0]).shape == (0,)


def test_rows_in_any_layout_and_type_are_predicted_alike(model: Model, rows: np.ndarray) -> None:
    expected = model.predict(rows).tolist()
    assert model.predict(np.asfortranarray(rows)).tolist() == expected
    assert model.predict(rows.astype(np.float32)).tolist() == expected


def test_nan_is_a_missing_value(model: Model) -> None:
    assert 0 < model.predict(np.full((1, 4), np.nan))[0] < 1


def test_extreme_margins_do_not_overflow(model: Model) -> None:
    class Sure:
        data = b""

        def margins(self, rows: np.ndarray) -> np.ndarray:
            return np.array([-1e4, 1e4])

        contributions = margins

    sure = replace(model, members=(Member("xgboost", Sure(), 1.0),))
    assert sure.predict(np.zeros((2, 4))).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 5)])
def test_rows_of_another_width_are_refused(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="'clicks' version 3 wants rows x 4 features"):
        model.predict(np.zeros(shape))


def test_a_model_comes_back_from_its_folder_the_same(model: Model, rows: np.ndarray, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    found = Model.load(tmp_path / "m")
    assert replace(found, members=()) == replace(model, members=())
    assert found.predict(rows).tolist() == model.predict(rows).tolist()
    assert found.explain(rows).tolist() == model.explain(rows).tolist()
    files = {p.relative_to(tmp_path / "m").as_posix() for p in (tmp_path / "m").rglob("*") if p.is_file()}
    assert files == {"model.json", "member-0.ubj", "member-1.txt", "attachments/profile.bin"}


def test_a_model_saved_before_it_knew_its_origin_loads(model: Model, tmp_path: Path) -> None:
    full = replace(
        model,
        intervals={"roc_auc": (0.7, 0.9)},
        origin=Origin(pins={"cards:1": 3}, code_hash="ab", libraries={"xgboost": "3.2.0"}),
        reasons=ReasonCodes({"R1": "large"}, version="1", codes={"a": "R1"}),
        profile={"a": FeatureProfile(3, 1, 0, 1.5, 0.5, (1.0, 2.0))},
    )
    full.save(tmp_path / "new")
    assert replace(Model.load(tmp_path / "new"), members=()) == replace(full, members=())
    full.save(tmp_path / "old")
    (tmp_path / "old" / "profile.json").unlink()
    card = json.loads((tmp_path / "old" / "model.json").read_text())
    del card["origin"], card["intervals"], card["reasons"]
    (tmp_path / "old" / "model.json").write_text(json.dumps(card))
    assert replace(Model.load(tmp_path / "old"), members=()) == replace(model, members=())


def test_a_calibrated_model_predicts_what_its_curve_says_and_explains_as_before(
    model: Model, rows: np.ndarray, tmp_path: Path
) -> None:
    curve = Calibration("isotonic", (-2.0, 0.5), (-1.0, 1.5), 0.25)
    made = replace(model, calibration=curve, threshold=0.75)
    assert made.predict(rows) == pytest.approx(1 / (1 + np.exp(-curve.apply(model.margins(rows)))))
    assert np.array_equal(np.argsort(made.predict(rows)), np.argsort(model.predict(rows)))
    assert made.margins(rows).tolist() == model.margins(rows).tolist()
    assert made.explain(rows).tolist() == model.explain(rows).tolist()
    made.save(tmp_path / "m")
    found = Model.load(tmp_path / "m")
    assert (found.calibration, found.threshold) == (curve, 0.75)
    assert found.predict(rows).tolist() == made.predict(rows).tolist()
    assert pickle.loads(pickle.dumps(made)).predict(rows).tolist() == made.predict(rows).tolist()


@pytest.mark.parametrize("damage", [{}, {"method": "platt", "margins": [1, 0], "log_odds": [0, 1], "slope": 1.0}, "x"])
def test_a_damaged_calibration_says_so(model: Model, tmp_path: Path, damage: object) -> None:
    model.save(tmp_path / "m")
    card = json.loads((tmp_path / "m" / "model.json").read_text())
    card["calibration"] = damage
    (tmp_path / "m" / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"damaged|must rise"):
        Model.load(tmp_path / "m")


def test_a_model_travels_by_pickle_between_our_own_processes(model: Model, rows: np.ndarray) -> None:
    assert pickle.loads(pickle.dumps(model)).predict(rows).tolist() == model.predict(rows).tolist()


def test_saving_over_something_is_refused_and_leaves_it_alone(model: Model, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="exists; choose another folder"):
        model.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_disk_that_refuses_leaves_nothing_half_written(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot save model 'clicks' version 3"):
        model.save(tmp_path / "file" / "m")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no model in .*: .*model.json is missing"):
        Model.load(tmp_path / "nothing")


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"format": 1, "members": [{"learner": "xgboost"}]}'])
def test_a_damaged_card_says_so(model: Model, tmp_path: Path, damage: str) -> None:
    model.save(tmp_path / "m")
    (tmp_path / "m" / "model.json").write_text(damage)
    with pytest.raises(InputError, match="damaged"):
        Model.load(tmp_path / "m")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", ".", "a/b"])
def test_a_card_cannot_reach_out_of_its_folder(model: Model, tmp_path: Path, name: str) -> None:
    model.save(tmp_path / "m")
    card = json.loads((tmp_path / "m" / "model.json").read_text())
    card["attachments"] = [name]
    (tmp_path / "m" / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="plain file name"):
        Model.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("a", "b", "c"), "it lacks 'd'"),
        (("a", "b", "c", "d", "e"), "does not know 'e'"),
        (("a", "x", "c", "d"), "it lacks 'b' and the model does not know 'x'"),
        (("b", "a", "c", "d"), "feature 1 is 'b' where the model wants 'a'"),
        (("a", "b", "c", "d", "d"), "gives 'd' twice"),
    ],
)
def test_features_that_do_not_fit_are_named(model: Model, names: tuple[str, ...], says: str) -> None:
    with pytest.raises(ModelMismatch, match=says):
        model.check_features(names)


def test_features_that_fit_pass(model: Model) -> None:
    model.check_features(["a", "b", "c", "d"])
