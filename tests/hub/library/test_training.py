"""automl and score: a model found by the one, applied by the other, here and on Ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray import hub
from eagleray.runtime.errors import InputError, ModelMismatch
from eagleray.runtime.settings import Settings


@pytest.fixture
def table() -> pl.DataFrame:
    random = np.random.default_rng(3)
    amount = random.gamma(2.0, 30.0, 800)
    return pl.DataFrame({"amount": amount, "noise": random.normal(size=800), "fraud": (amount > 110).astype(int)})


# MLflow's own use of SQLAlchemy.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_automl_then_score(
    table: pl.DataFrame, ray_cluster: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("EAGLERAY_HOME", str(tmp_path))
    run = hub.load("hub://automl")(table, "fraud", 2.0)
    assert run.metrics["average_precision"] > 0.9
    score = hub.load("hub://score")
    rows = table.drop("fraud").with_row_index()
    scored = score(rows, run.model)
    assert scored.columns == ["index", "amount", "noise", "score"]
    assert scored.get_column("score").is_between(0, 1).all()
    assert np.corrcoef(scored.get_column("score"), table.get_column("fraud"))[0, 1] > 0.9
    assert ray.get(score.remote(rows, run.model)).equals(scored)
    with pytest.raises(ModelMismatch, match=r"lacks features of model .*: noise"):
        score(rows.drop("noise"), run.model)
    with pytest.raises(InputError, match="'noise' is a String column"):
        score(rows.with_columns(noise=pl.lit("x")), run.model)
    with pytest.raises(InputError, match="name another with column="):
        score(scored, run.model)
