"""Small tables are not binned finer than their rows can fill."""

from __future__ import annotations

import pytest

from eagleray.functions.training.bins import bins_for, leaves_for
from eagleray.functions.training.learner import Choice, learner


@pytest.mark.parametrize(("rows", "finest"), [(50, 256), (19_999, 256), (20_000, 1024), (100_000, 4096)])
@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_starts_lie_inside_the_space_and_use_the_finest(name: str, rows: int, finest: int) -> None:
    domain = learner(name).space(rows)["max_bin"]
    assert isinstance(domain, Choice)
    assert domain.values == bins_for(rows) == tuple(sorted(domain.values))
    starts = [start["max_bin"] for start in learner(name).starts(rows)]
    assert set(starts) <= set(domain.values)
    assert starts[-1] == finest == domain.values[-1]


def test_a_leaf_has_ten_rows_within_bounds() -> None:
    assert [leaves_for(rows) for rows in (10, 500, 1_000_000)] == [8, 50, 1024]
