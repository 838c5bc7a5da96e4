"""The task and its metric, as given or told from the label."""

from __future__ import annotations

import polars as pl
import pytest

from eagleray.functions.evaluation.metric import Task
from eagleray.functions.evaluation.task import aim
from eagleray.runtime.errors import InputError

CLASSES = pl.Series("y", [0, 1, 1, None])
FLAGS = pl.Series("y", [True, False])
VALUES = pl.Series("y", [0.0, 1.0, 0.5])


@pytest.mark.parametrize(
    ("label", "task", "metric", "found"),
    [
        (CLASSES, None, None, "average_precision"),
        (FLAGS, None, None, "average_precision"),
        (pl.Series("y", [0.0, float("nan"), 1.0]), None, None, "average_precision"),
        (VALUES, None, None, "rmse"),
        (CLASSES, "regression", None, "rmse"),
        (CLASSES, None, "mae", "mae"),
        (VALUES, "classification", None, "average_precision"),
        (CLASSES, "classification", "roc_auc", "roc_auc"),
    ],
)
def test_what_is_not_given_is_told(label: pl.Series, task: Task | None, metric: str | None, found: str) -> None:
    assert aim(label, task=task, metric_name=metric).name == found


@pytest.mark.parametrize(
    ("task", "metric", "says"),
    [
        ("classification", "rmse", "'rmse' is one of regression, the task is classification: give one of 'average_pre"),
        ("regression", "roc_auc", "'roc_auc' is one of classification, .*: give one of 'rmse', 'mae', 'r2', or leave"),
        ("clasification", None, "no task 'clasification'; did you mean 'classification'"),
        (None, "auc", "no metric 'auc'"),
    ],
)
def test_what_does_not_go_together_is_refused(task: Task | None, metric: str | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        aim(VALUES, task=task, metric_name=metric)


def test_a_few_whole_numbers_are_not_guessed_at() -> None:
    codes = pl.Series("y", [0, 1, 2, 2, None])
    with pytest.raises(InputError, match=r"label 'y' holds the whole numbers 0, 1, 2: say task='regression'"):
        aim(codes)
    assert aim(codes, task="regression").name == "rmse"
    assert aim(codes, metric_name="rmse").name == "rmse"
    assert aim(codes.cast(pl.Float64)).name == "rmse"
    assert aim(pl.Series("y", range(11))).name == "rmse"
    assert aim(pl.Series("y", [1, 1, 0])).name == "average_precision"
