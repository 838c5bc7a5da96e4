"""Models that do not explain themselves, explained in a graph over background rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestClassifier

from eagleray.graphs.flows.compile import version
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError

RNG = np.random.default_rng(5)
FRAME = pl.DataFrame({name: RNG.normal(size=60) for name in "zab"})
FOREST = RandomForestClassifier(5, random_state=0).fit(FRAME.select("a", "b").to_numpy(), FRAME["a"] > 0)


class Sum:
    """A model in nobody's manner, without an explain."""

    features = ("a", "b")

    def predict(self, rows: np.ndarray) -> np.ndarray:
        out: np.ndarray = rows.sum(axis=1)
        return out


@pytest.mark.parametrize("background", [FRAME, FRAME.to_pandas(), FRAME.select("a", "b").to_numpy()])
def test_a_forest_is_explained_in_units_of_its_score(background: object) -> None:
    g = Graph("g")
    g.to(g.predict(FOREST, features=["a", "b"], background=background)).to(g.explain()).respond()
    found = g.test({"a": 2.0, "b": 0.0})
    parts = found["contributions"]
    assert found["base_value"] == pytest.approx(FOREST.predict_proba(FRAME.select("a", "b").to_numpy())[:, 1].mean())
    assert found["base_value"] + parts["a"] + parts["b"] == pytest.approx(found["score"])
    assert parts["a"] > abs(parts["b"])


def test_any_object_that_predicts_can_be_explained_and_the_background_is_part_of_the_version() -> None:
    def graph(rows: np.ndarray) -> Graph:
        g = Graph("g")
        g.to(g.predict(Sum(), background=rows)).to(g.explain()).respond()
        return g

    rows = FRAME.select("a", "b").to_numpy()
    found = graph(rows).test({"a": 2.0, "b": 1.0})
    assert found["contributions"]["b"] == pytest.approx(1 - FRAME["b"].to_numpy().mean())
    assert (first := version(graph(rows).steps)) == version(graph(rows.copy()).steps)
    assert first != version(graph(rows + 1).steps)


def test_a_background_that_does_not_fit_is_refused() -> None:
    g = Graph("g")
    with pytest.raises(DefinitionError, match=r"the background lacks \['b'\]"):
        g.predict(Sum(), background=FRAME.drop("b"))
    with pytest.raises(DefinitionError, match=r"give rows x 2 features"):
        g.predict(Sum(), background=np.zeros((3, 5)))
    with pytest.raises(DefinitionError, match="leave background= out"):
        g.predict("models:/fraud@champion", background=FRAME)
