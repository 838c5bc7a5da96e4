"""The short way to XGBoost's predictions gives what the long one gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import xgboost

from eagleray.functions.training.xgboost_direct import direct

RNG = np.random.default_rng(5)
X = RNG.normal(size=(500, 4)).astype(np.float32)
X[::7, 1] = np.nan


def booster(objective: str, **more: Any) -> xgboost.Booster:
    labels = np.digitize(X[:, 0], [-0.5, 0.5]) if "num_class" in more else (X[:, 0] > 0).astype(int)
    params = {"objective": objective, "nthread": 1, "max_depth": 4, **more}
    return xgboost.train(params, xgboost.DMatrix(X, labels), 20)


@pytest.mark.parametrize("rows", [0, 1, 2, 65, 500])
@pytest.mark.parametrize("margin", [True, False])
@pytest.mark.parametrize("more", [{}, {"num_class": 3}], ids=["binary", "classes"])
def test_it_is_what_inplace_predict_gives(rows: int, margin: bool, more: dict[str, Any]) -> None:
    live = booster("multi:softprob" if more else "binary:logistic", **more)
    way = direct(live, margin=margin)
    assert way is not None
    want = live.inplace_predict(X[:rows], predict_type="margin" if margin else "value")
    forms: list[Any] = [X[:rows], np.asfortranarray(X[:rows]), X[:rows].astype(np.float64)]
    for form in forms:
        got = way(form)
        assert (str(got.dtype), got.shape) == ("float32", want.shape)
        assert got.tolist() == want.tolist()


def test_threads_do_not_see_one_another_s_scores() -> None:
    live = booster("binary:logistic")
    way = direct(live, margin=False)
    assert way is not None
    want = live.inplace_predict(X)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda place: way(X[place : place + 3]), [place % 490 for place in range(2000)]))
    assert all(got.tolist() == want[place % 490 : place % 490 + 3].tolist() for place, got in enumerate(found))


def test_where_the_library_offers_no_way_in_there_is_none() -> None:
    assert direct(object(), margin=True) is None


def test_an_error_of_the_library_is_raised() -> None:
    way = direct(booster("binary:logistic"), margin=True)
    assert way is not None
    with pytest.raises(xgboost.core.XGBoostError, match="columns"):
        way(np.zeros((1, 9), np.float32))
