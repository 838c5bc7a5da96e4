"""What a model is for: the task and its measure, as given or told from the label."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ...runtime.errors import InputError, did_you_mean
from .metric import METRICS, Metric, Task, metric

_FEW = 10
USUAL: Mapping[Task, str] = {"classification": "average_precision", "regression": "rmse", "ranking": "ndcg"}
_MEASURED_AS: Mapping[str, Task] = {"forecast": "regression"}


def aim(label: pl.Series, *, task: Task | None = None, metric_name: str | None = None) -> Metric:
    """The metric to search for, which has its task.

    Without a metric it is the task's usual one. Without either, a label of 0 and 1 or of Booleans is one of classes,
    any other number a value, but for a few whole ones. Raises `InputError` for names that do not exist or do not go
    together.
    """
    if task is not None and task not in tuple(USUAL):  # a tuple, for what is given may have no hash
        raise InputError(f"no task {task!r}{did_you_mean(str(task), (*USUAL, *_MEASURED_AS))}")
    if metric_name is None:
        return metric(USUAL[task or _told(label)])
    return metric(metric_name) if task is None else fitting(metric_name, task=task)


def fitting(metric_name: str, *, task: str) -> Metric:
    """The metric, which must be one of the task, "forecast" included; raises `InputError` that names those that are."""
    found, measured_as = metric(metric_name), _MEASURED_AS.get(task, task)
    if found.task != measured_as:
        names = [repr(one.name) for one in METRICS.values() if one.task == measured_as]
        names += ["'ndcg_10' (any number of places)"] if measured_as == "ranking" else []
        raise InputError(
            f"metric {metric_name!r} is one of {found.task}, the task is {task}: give one of {', '.join(names)}, or "
            "leave the metric out"
        )
    return found


def _told(label: pl.Series) -> Task:
    """Nulls and NaN do not count; they are refused later, with the number of them. A few whole numbers may be codes of
    classes: then the task must be said."""
    if label.dtype.is_numeric():
        values = label.cast(pl.Float64).fill_nan(None).drop_nulls()
        if values.is_in([0.0, 1.0]).all():
            return "classification"
        few = label.drop_nulls().unique().sort().head(_FEW + 1).to_list() if label.dtype.is_integer() else []
        if 1 < len(few) <= _FEW:
            raise InputError(
                f"label {label.name!r} holds the whole numbers {', '.join(map(str, few))}: say task='regression' if "
                "they are values; if they are classes, give 0 and 1 for one of them"
            )
        return "regression"
    return "classification"
