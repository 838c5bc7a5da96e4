"""A trained model from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ....functions.function import function

if TYPE_CHECKING:
    from ....functions.automl import AutoMLRun


# The search starts workers of its own: waiting for them needs no core.
@function(cpus=0)
def automl(
    table: pl.DataFrame,
    label: str,
    budget_s: float = 60.0,
    *,
    metric: str = "average_precision",
    time_column: str | None = None,
    groups: str | None = None,
) -> AutoMLRun:
    """The best model that a search of `budget_s` seconds finds for `label`, with its leaderboard, metrics and report.

    `table` holds numeric features and the label; with `time_column` a candidate is judged on later rows than it
    was trained on, else with `groups` on other groups. The run is tracked. Raises `InputError` for a
    table that cannot be trained on.
    """
    from ....functions import automl as search

    return search.fit(table, label=label, metric=metric, budget_s=budget_s, time_column=time_column, groups=groups)
