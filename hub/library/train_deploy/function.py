"""A training pipeline with gates: only a model that passes them takes the champion's place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from ....functions.function import function
from ....functions.models.gate import Gate, refusals
from ....functions.models.model import Model
from ....graphs.pipelines.pipeline import Pipeline
from ....runtime.errors import DefinitionError, InputError, ModelNotFound
from ....runtime.settings import Settings

_TEST_SHARE = 0.2
_BUDGET_S = 60.0
_CHAMPION = "champion"


@function
def train_deploy(
    load: Callable[[], pl.DataFrame],
    *,
    model: str,
    label: str,
    metric: str = "average_precision",
    time_column: str | None = None,
    gates: Sequence[Gate] | None = None,
    deploy: Callable[[str], object] | None = None,
) -> Pipeline:
    """The pipeline load -> split -> train -> evaluate -> register -> deploy, to be run, scheduled or changed.

    `load` gives a table of numeric features and the label. The last fifth of its rows (by `time_column`, or as they are
    in the table) judges: the new model and the champion, `models:/MODEL@champion`, on the same rows; `metric` is what
    is searched for. Every model is registered; one that passes all `gates` goes to `deploy("models:/MODEL/3")` and then
    becomes the champion. Without gates it must be better than the champion by `metric`. Why one does not pass is what
    the step "gate" gives, in words with the figures. The pipeline has one parameter, `budget_s`, the seconds to search
    (60). Raises `DefinitionError` for gates that cannot be asked.
    """
    from ....functions.evaluation.metric import metric as known

    known(metric)
    asked = [Gate(metric, better_than=_CHAMPION)] if gates is None else _checked(gates)
    here = Settings.from_env()
    where = Settings(home=here.home, tracking_uri=here.tracking_uri)  # what a worker needs, and none of the passwords
    p = Pipeline(f"train-{model}")
    budget = p.parameter("budget_s", _BUDGET_S, type=float)
    parts = p.step(split, p.step(load, name="load"), time_column, name="split")
    made = p.step(train, parts[0], [label, metric, time_column], budget, model, where, name="train")
    judged_by = [metric, *(gate.metric for gate in asked)]
    figures = p.step(evaluate, made, parts[1], label, judged_by, name="evaluate")
    champion = p.step(evaluate_champion, model, parts[1], label, judged_by, where, name="champion")
    address = p.step(register, made, where, name="register", after=figures)
    refused = p.step(refusals_of, figures, champion, asked, name="gate")
    p.step(put_live, address, deploy, where, name="deploy", when=p.when(passes, refused))
    return p


def _checked(gates: Sequence[Gate]) -> list[Gate]:
    from ....functions.evaluation.metric import metric as known

    if isinstance(gates, Gate) or not all(isinstance(gate, Gate) for gate in gates):
        raise DefinitionError(f"gates={gates!r}: give a list of gates, [Gate('roc_auc', at_least=0.8)]")
    for gate in gates:
        known(gate.metric)
        if gate.better_than not in ("", _CHAMPION):
            raise DefinitionError(f"the gate on {gate.metric!r} asks for better_than={gate.better_than!r}: only the "
                                  "champion is judged on the same rows, so name 'champion'")  # fmt: skip
    return list(gates)


def split(table: pl.DataFrame, time_column: str | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that teach and those that judge, the latest ones."""
    ordered = table if time_column is None else table.sort(time_column, maintain_order=True)
    judging = math.ceil(ordered.height * _TEST_SHARE)
    if judging >= ordered.height:
        raise InputError(f"the table has {ordered.height} rows: a model takes some hundreds")
    return ordered.head(ordered.height - judging), ordered.tail(judging)


# The search starts workers of its own: waiting for them needs no core.
@function(cpus=0)
def train(table: pl.DataFrame, about: list[str | None], budget_s: float, model: str, settings: Settings) -> Model:
    """The best model that a search of `budget_s` seconds finds."""
    from ....functions import automl
    from ....functions.automl import AutoMLOptions

    label, metric, time_column = about
    options = AutoMLOptions(model_name=model, settings=settings, track=False)
    run = automl.fit(
        table, label=str(label), metric=str(metric), budget_s=budget_s, time_column=time_column, options=options
    )
    return run.model


def evaluate(model: Model, table: pl.DataFrame, label: str, metrics: Sequence[str]) -> dict[str, float]:
    """The model's measures on these rows by name, which are also metrics of the run."""
    from ....functions.evaluation.metric import metric as named
    from ....functions.runs.current_run import log_metric

    rows = table.select(model.features).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    labels, scores = table[label].cast(pl.Float64).to_numpy(), model.predict(rows)
    found = {name: named(name).compute(labels, scores) for name in metrics}
    for name, value in found.items():
        log_metric(name, value)
    return found


def evaluate_champion(
    model: str, table: pl.DataFrame, label: str, metrics: Sequence[str], settings: Settings
) -> dict[str, float] | None:
    """The champion's measures on the same rows; None where there is no champion, or it wants features that are gone."""
    from ....functions.models.model_registry import ModelRegistry

    try:
        champion = ModelRegistry(settings).load(f"models:/{model}@{_CHAMPION}")
    except ModelNotFound:
        return None
    if set(champion.features) - set(table.columns):
        return None
    return evaluate(champion, table, label, metrics)


def refusals_of(figures: Mapping[str, float], champion: Mapping[str, float] | None, gates: Sequence[Gate]) -> list[str]:
    """Why the new model does not take the champion's place, in words; empty where it does."""
    return refusals(gates, figures, {} if champion is None else {_CHAMPION: champion})


def passes(reasons: Sequence[str]) -> bool:
    """Whether nothing speaks against it."""
    return not reasons


def register(model: Model, settings: Settings) -> str:
    """The address of the model's new version."""
    from ....functions.models.model_registry import ModelRegistry

    made = ModelRegistry(settings).register(model)
    return f"models:/{made.name}/{made.version}"


def put_live(address: str, deploy: Callable[[str], object] | None, settings: Settings) -> str:
    """Hands the version to `deploy`, and makes it the champion when that has worked."""
    from ....functions.models.model_registry import ModelRegistry, ModelUri

    if deploy is not None:
        deploy(address)
    uri = ModelUri.parse(address)
    ModelRegistry(settings).promote(uri.name, version=uri.version, alias=_CHAMPION)
    return address
