"""train_deploy: a better model takes the champion's place, a worse one is only registered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray import ModelRegistry, Pipeline, Settings, hub
from eagleray.hub.library.train_deploy.function import is_better, split
from eagleray.runtime.errors import InputError


def rows(*, honest: bool = True) -> pl.DataFrame:
    """Large amounts are fraud; where it is not honest, the rows that teach say the contrary."""
    amount = np.random.default_rng(3).gamma(2.0, 30.0, 1000)
    at = np.arange(1000)[::-1]
    fraud = (amount > 90) if honest else np.where(at < 800, amount <= 90, amount > 90)
    return pl.DataFrame({"amount": amount, "at": at, "fraud": fraud.astype(int)})


def test_the_gate_asks_for_better_by_the_metric() -> None:
    assert is_better(0.5, None, "roc_auc")
    assert is_better(0.5, float("nan"), "roc_auc")
    assert is_better(0.6, 0.5, "roc_auc")
    assert not is_better(0.5, 0.5, "roc_auc"), "as good is not better"
    assert is_better(0.5, 0.6, "rmse")
    assert not is_better(0.6, 0.5, "rmse")
    assert not is_better(float("nan"), None, "roc_auc"), "what could not be judged does not go live"


def test_the_latest_rows_judge() -> None:
    train, test = split(rows(), "at")
    assert (train.height, test.height, train["at"].max(), test["at"].min()) == (800, 200, 799, 800)
    with pytest.raises(InputError, match="the table has 1 rows"):
        split(rows().head(1), None)


# MLflow's own use of SQLAlchemy.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")
def test_only_a_better_model_is_deployed(
    ray_cluster: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home")
    monkeypatch.setenv("EAGLERAY_HOME", str(settings.home))
    deployed: list[str] = []

    def built(*, honest: bool) -> Pipeline:
        def load() -> pl.DataFrame:
            return rows(honest=honest)

        template = hub.load("hub://train_deploy")
        found: Pipeline = template(
            load, model="gated", label="fraud", budget_s=2.0, time_column="at", deploy=deployed.append
        )
        return found

    first = built(honest=True).run(settings=settings)
    assert first["deploy"].value == "models:/gated/1"
    assert first["champion"].value is None
    second = built(honest=False).run(settings=settings, budget_s=1.0)
    assert second["deploy"].status == "SKIPPED"
    assert second["champion"].value is not None
    assert second["register"].value == "models:/gated/2", "registered all the same"
    assert deployed == ["models:/gated/1"]
    registry = ModelRegistry(settings)
    assert registry.find("models:/gated@champion").version == "1"
    child = first["evaluate"].tracked
    from eagleray.functions.tracking import run_store

    assert run_store(settings).read(child).metrics["average_precision"] == pytest.approx(first["evaluate"].value)
