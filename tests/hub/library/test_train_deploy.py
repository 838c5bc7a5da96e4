"""train_deploy: a better model takes the champion's place, a worse one is only registered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray import Gate, ModelRegistry, Pipeline, Settings, hub
from eagleray.hub.library.train_deploy.function import passes, refusals_of, split
from eagleray.runtime.errors import DefinitionError, InputError


def rows(*, honest: bool = True) -> pl.DataFrame:
    """Large amounts are fraud; where it is not honest, the rows that teach say the contrary."""
    amount = np.random.default_rng(3).gamma(2.0, 30.0, 1000)
    at = np.arange(1000)[::-1]
    fraud = (amount > 90) if honest else np.where(at < 800, amount <= 90, amount > 90)
    return pl.DataFrame({"amount": amount, "at": at, "fraud": fraud.astype(int)})


def better(figure: float, champion: float | None, metric: str) -> bool:
    """By the gate that stands where none is given."""
    other = None if champion is None else {metric: champion}
    return passes(refusals_of({metric: figure}, other, [Gate(metric, better_than="champion")]))


def test_the_gate_asks_for_better_by_the_metric() -> None:
    assert better(0.5, None, "roc_auc")
    assert better(0.5, float("nan"), "roc_auc")
    assert better(0.6, 0.5, "roc_auc")
    assert not better(0.5, 0.5, "roc_auc"), "as good is not better"
    assert better(0.5, 0.6, "rmse")
    assert not better(0.6, 0.5, "rmse")
    assert not better(float("nan"), None, "roc_auc"), "what could not be judged does not go live"


def test_gates_that_cannot_be_asked_are_refused() -> None:
    def template(gates: object) -> None:
        hub.load("hub://train_deploy")(rows, model="m", label="fraud", gates=gates)

    with pytest.raises(DefinitionError, match=r"give a list of gates, \[Gate\('roc_auc', at_least=0.8\)\]"):
        template(Gate("roc_auc", at_least=0.8))
    with pytest.raises(DefinitionError, match="give a list of gates"):
        template(["roc_auc"])
    with pytest.raises(DefinitionError, match="only the champion is judged on the same rows, so name 'champion'"):
        template([Gate("roc_auc", better_than="rival")])
    with pytest.raises(InputError, match="no metric 'auc'; did you mean 'roc_auc'"):
        template([Gate("auc", at_least=0.8)])


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

    def built(*, honest: bool, gates: list[Gate] | None = None) -> Pipeline:
        def load() -> pl.DataFrame:
            return rows(honest=honest)

        template = hub.load("hub://train_deploy")
        found: Pipeline = template(
            load, model="gated", label="fraud", time_column="at", gates=gates, deploy=deployed.append
        )
        return found

    barred = [Gate("roc_auc", at_least=0.5), Gate("log_loss", at_most=0.0)]
    none = built(honest=True, gates=barred).run(settings=settings, budget_s=1.0)
    assert none["deploy"].status == "SKIPPED"
    assert none["gate"].value == [f"log_loss is {none['evaluate'].value['log_loss']:.6g}, which is more than 0"]
    assert none["register"].value == "models:/gated/1"
    assert not deployed
    first = built(honest=True).run(settings=settings, budget_s=2.0)
    assert first["deploy"].value == "models:/gated/2"
    assert first["gate"].value == []
    assert first["champion"].value is None
    second = built(honest=False).run(settings=settings, budget_s=1.0)
    assert second["deploy"].status == "SKIPPED"
    assert second["champion"].value is not None
    assert second["gate"].value[0].endswith("it must be better")
    assert second["register"].value == "models:/gated/3", "registered all the same"
    assert deployed == ["models:/gated/2"]
    registry = ModelRegistry(settings)
    assert registry.find("models:/gated@champion").version == "2"
    child = first["evaluate"].tracked
    from eagleray.functions.runs.tracking import run_store

    assert run_store(settings).read(child).metrics["average_precision"] == pytest.approx(
        first["evaluate"].value["average_precision"]
    )
