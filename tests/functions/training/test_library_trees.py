"""Contributions of XGBoost's and LightGBM's boosters, ours beside the library's own."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost

from eagleray.functions.training import lightgbm_trees, xgboost_trees
from eagleray.functions.training.lightgbm_model import LightGBMBooster
from eagleray.functions.training.tree_factors import prepared
from eagleray.functions.training.xgboost_model import XGBoostBooster

WIDTH = 12
QUIET = {"verbose": -1, "num_threads": 1, "deterministic": True, "min_data_in_leaf": 2}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """2,000 rows: a tenth null, two features of few values, one of only zeros."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, WIDTH)).astype(np.float32)
    x[:, 3], x[:, 4], x[:, 5] = np.round(x[:, 3]), x[:, 4] > 0, 0
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 6] = np.nan_to_num(x[:, 6])  # never null in training
    return x


@pytest.fixture(scope="module")
def labels(rows: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    margin = np.nan_to_num(rows[:, 0] * rows[:, 1] + 2 * rows[:, 2] + rows[:, 3]) - 1
    above: np.ndarray = margin + rng.logistic(size=len(rows)) > 0
    return above.astype(np.float32)


@pytest.fixture(scope="module")
def asked(rows: np.ndarray) -> np.ndarray:
    """Rows of training, one of nulls, one of zeros, and null where training had none."""
    more = np.stack((np.full(WIDTH, np.nan), np.zeros(WIDTH), np.where(np.arange(WIDTH) == 6, np.nan, 1)))
    return np.concatenate((rows[:100], more.astype(np.float32)))


def check_xgboost(live: xgboost.Booster, asked: np.ndarray, *, ours: bool = True) -> None:
    known = live.predict(xgboost.DMatrix(asked), pred_contribs=True)
    near = 1e-5 * max(1.0, float(np.abs(known).max()))
    found = xgboost_trees.trees(live)
    assert (found is not None) == ours
    if found is not None:
        one = prepared(found, width=WIDTH)
        assert one is not None
        assert one.parts(asked) == pytest.approx(known[:, :-1], abs=near)
    booster = XGBoostBooster(bytes(live.save_raw("ubj")))
    assert booster.contributions(asked) == pytest.approx(known, abs=near)
    gap = booster.contributions(asked).sum(axis=1) - booster.margins(asked)
    assert np.abs(gap).max() < near


@pytest.mark.parametrize(
    "settings",
    [
        *({"max_depth": depth} for depth in range(1, 11)),
        {"max_depth": 0, "max_leaves": 40, "grow_policy": "lossguide", "min_child_weight": 0.001},
        {"max_depth": 4, "base_score": 0.9, "subsample": 0.7, "colsample_bylevel": 0.5},
        {"max_depth": 3, "num_parallel_tree": 3},
        {"max_depth": 4, "gamma": 8.0, "min_child_weight": 20.0},  # pruned, some to their roots
        {"max_depth": 2, "gamma": 1e9},  # trees of one node
        {"max_depth": 4, "objective": "reg:squarederror"},
        {"max_depth": 4, "objective": "count:poisson"},
        {"max_depth": 4, "tree_method": "exact"},
    ],
    ids=str,
)
def test_xgboost_explains_as_its_library_does(
    rows: np.ndarray, labels: np.ndarray, asked: np.ndarray, settings: dict[str, Any]
) -> None:
    weights = np.random.default_rng(2).exponential(size=len(rows))
    matrix = xgboost.DMatrix(rows, labels, weight=weights)
    check_xgboost(xgboost.train({"objective": "binary:logistic", "nthread": 1} | settings, matrix, 25), asked)


def test_xgboost_explains_itself_where_we_cannot(rows: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> None:
    plain = {"objective": "binary:logistic", "nthread": 1, "max_depth": 3}
    dart = plain | {"booster": "dart", "rate_drop": 0.5}
    check_xgboost(xgboost.train(dart, xgboost.DMatrix(rows, labels), 10), asked, ours=False)
    check_xgboost(
        xgboost.train({"booster": "gblinear", "nthread": 1}, xgboost.DMatrix(np.nan_to_num(rows), labels), 10),
        np.nan_to_num(asked),
        ours=False,
    )
    grades = np.digitize(np.nan_to_num(rows[:, 0]), [-0.5, 0.5])
    classes = {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "nthread": 1}
    assert xgboost_trees.trees(xgboost.train(classes, xgboost.DMatrix(rows, grades), 3)) is None
    kinds = np.abs(np.nan_to_num(rows)).astype(int) % 4
    typed = xgboost.DMatrix(kinds, labels, feature_types=["c"] * WIDTH, enable_categorical=True)
    assert xgboost_trees.trees(xgboost.train(plain | {"max_cat_to_onehot": 1}, typed, 3)) is None
    two = {"multi_strategy": "multi_output_tree", "tree_method": "hist", "nthread": 1, "max_depth": 3}
    targets = np.stack((labels, 1 - labels), axis=1)
    assert xgboost_trees.trees(xgboost.train(two, xgboost.DMatrix(rows, targets), 3)) is None


def check_lightgbm(live: lightgbm.Booster, asked: np.ndarray, *, ours: bool = True) -> None:
    known = np.asarray(live.predict(asked, pred_contrib=True))
    text = live.model_to_string()
    found = lightgbm_trees.trees(text)
    assert (found is not None) == ours
    if found is not None:
        one = prepared(found, width=WIDTH)
        assert one is not None
        assert one.parts(asked) == pytest.approx(known[:, :-1], abs=1e-10)
    booster = LightGBMBooster(text.encode())
    assert booster.contributions(asked) == pytest.approx(known, abs=1e-10)


@pytest.mark.parametrize(
    "settings",
    [
        *({"max_depth": depth, "num_leaves": 2**depth} for depth in range(1, 11)),
        {"num_leaves": 60, "bagging_fraction": 0.7, "bagging_freq": 1, "feature_fraction": 0.5},
        {"num_leaves": 31, "use_missing": False},
        {"num_leaves": 15, "boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1},
        {"num_leaves": 15, "boosting": "dart"},
        {"num_leaves": 15, "extra_trees": True},
        {"num_leaves": 4, "min_gain_to_split": 1e9},  # trees of one leaf
        {"num_leaves": 15, "objective": "regression", "boost_from_average": False},
        {"num_leaves": 15, "objective": "poisson"},
    ],
    ids=str,
)
def test_lightgbm_explains_as_its_library_does(
    rows: np.ndarray, labels: np.ndarray, asked: np.ndarray, settings: dict[str, Any]
) -> None:
    weights = np.random.default_rng(2).exponential(size=len(rows))
    data = lightgbm.Dataset(rows, labels, weight=weights)
    check_lightgbm(lightgbm.train(QUIET | {"objective": "binary"} | settings, data, 25), asked)
    whole = lightgbm.Dataset(np.nan_to_num(rows), labels)  # where nothing was null, null is zero
    check_lightgbm(lightgbm.train(QUIET | {"objective": "binary"} | settings, whole, 25), asked)


def test_lightgbm_compares_in_double_precision(labels: np.ndarray) -> None:
    near = 1.0 + np.arange(2000) % 7 * 1e-12
    rows = np.column_stack((near, *np.zeros((WIDTH - 1, 2000))))
    live = lightgbm.train(QUIET | {"objective": "regression", "max_bin": 63}, lightgbm.Dataset(rows, near > near[3]), 5)
    thresholds = np.unique(rows[:, 0])
    asked = np.zeros((len(thresholds), WIDTH))
    asked[:, 0] = thresholds
    check_lightgbm(live, asked)


@pytest.mark.parametrize(
    "settings",
    [{"zero_as_missing": True}, {"linear_tree": True}, {"categorical_feature": [4]}],
    ids=str,
)
def test_lightgbm_explains_itself_where_we_cannot(
    rows: np.ndarray, labels: np.ndarray, asked: np.ndarray, settings: dict[str, Any]
) -> None:
    columns = settings.get("categorical_feature", "auto")
    rest = {key: value for key, value in settings.items() if key != "categorical_feature"}
    whole = np.abs(np.round(np.nan_to_num(rows), 1))
    data = lightgbm.Dataset(whole, whole[:, 4] + labels, categorical_feature=columns, params=QUIET | rest)
    live = lightgbm.train(QUIET | {"objective": "regression"} | rest, data, 5)
    assert lightgbm_trees.trees(live.model_to_string()) is None
    if not settings.get("linear_tree"):  # which the library does not explain either
        check_lightgbm(live, asked, ours=False)


def test_lightgbm_of_several_classes_is_left_to_its_library(rows: np.ndarray) -> None:
    grades = np.digitize(np.nan_to_num(rows[:, 0]), [-0.5, 0.5])
    settings = QUIET | {"objective": "multiclass", "num_class": 3}
    assert lightgbm_trees.trees(lightgbm.train(settings, lightgbm.Dataset(rows, grades), 3).model_to_string()) is None


def test_a_row_of_another_width_is_refused_by_the_library(rows: np.ndarray, labels: np.ndarray) -> None:
    live = lightgbm.train(QUIET | {"objective": "binary"}, lightgbm.Dataset(rows, labels), 3)
    booster = LightGBMBooster(live.model_to_string().encode())
    with pytest.raises(lightgbm.basic.LightGBMError, match="number of features"):
        booster.contributions(rows[:2, :-1])
