"""A training pipeline with a gate: only a model that is better than the champion takes its place."""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl

from ....functions.function import function
from ....functions.gate import Gate
from ....functions.model import Model
from ....graphs.pipelines.pipeline import Pipeline
from ....runtime.errors import InputError, ModelNotFound
from ....runtime.settings import Settings

_TEST_SHARE = 0.2


@function
def train_deploy(
    load: Callable[[], pl.DataFrame],
    *,
    model: str,
    label: str,
    metric: str = "average_precision",
    budget_s: float = 60.0,
    time_column: str | None = None,
    deploy: Callable[[str], object] | None = None,
) -> Pipeline:
    """The pipeline load -> split -> train -> evaluate -> register -> deploy, to be run, scheduled or changed.

    `load` gives a table of numeric features and the label. The last fifth of its rows (by `time_column`, or as they are
    in the table) judges: the new model and the champion, `models:/MODEL@champion`, on the same rows by `metric`. Every
    model is registered; one that is better goes to `deploy("models:/MODEL/3")` and then becomes the champion. The
    pipeline has one parameter, `budget_s`, the seconds to search.
    """
    from ....functions.evaluation.metric import metric as known

    known(metric)
    here = Settings.from_env()
    where = Settings(home=here.home, tracking_uri=here.tracking_uri)  # what a worker needs, and none of the passwords
    p = Pipeline(f"train-{model}")
    budget = p.parameter("budget_s", budget_s, type=float)
    parts = p.step(split, p.step(load, name="load"), time_column, name="split")
    made = p.step(train, parts[0], [label, metric, time_column], budget, model, where, name="train")
    score = p.step(evaluate, made, parts[1], label, metric, name="evaluate")
    champion = p.step(evaluate_champion, model, parts[1], label, metric, where, name="champion")
    address = p.step(register, made, where, name="register", after=score)
    p.step(put_live, address, deploy, where, name="deploy", when=p.when(is_better, score, champion, metric))
    return p


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


def evaluate(model: Model, table: pl.DataFrame, label: str, metric: str) -> float:
    """The model's measure on these rows, which is also a metric of the run."""
    from ....functions.current_run import log_metric
    from ....functions.evaluation.metric import metric as named

    rows = table.select(model.features).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    found = named(metric).compute(table[label].cast(pl.Float64).to_numpy(), model.predict(rows))
    log_metric(metric, found)
    return found


def evaluate_champion(model: str, table: pl.DataFrame, label: str, metric: str, settings: Settings) -> float | None:
    """The champion's measure on the same rows; None where there is no champion, or it wants features that are gone."""
    from ....functions.model_registry import ModelRegistry

    try:
        champion = ModelRegistry(settings).load(f"models:/{model}@champion")
    except ModelNotFound:
        return None
    if set(champion.features) - set(table.columns):
        return None
    return evaluate(champion, table, label, metric)


def is_better(score: float, champion: float | None, metric: str) -> bool:
    """Whether the new model takes the champion's place: it must be better, not as good; without a champion it does."""
    gate = Gate(metric, better_than="champion")
    return not gate.refusals({metric: score}, {} if champion is None else {"champion": {metric: champion}})


def register(model: Model, settings: Settings) -> str:
    """The address of the model's new version."""
    from ....functions.model_registry import ModelRegistry

    made = ModelRegistry(settings).register(model)
    return f"models:/{made.name}/{made.version}"


def put_live(address: str, deploy: Callable[[str], object] | None, settings: Settings) -> str:
    """Hands the version to `deploy`, and makes it the champion when that has worked."""
    from ....functions.model_registry import ModelRegistry, ModelUri

    if deploy is not None:
        deploy(address)
    uri = ModelUri.parse(address)
    ModelRegistry(settings).promote(uri.name, version=uri.version, alias="champion")
    return address
