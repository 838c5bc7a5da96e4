"""Times on a grid: the step that is found, its places, and the times back again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from eagleray.functions.forecasting.grid import Grid
from eagleray.runtime.errors import DefinitionError, InputError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def grid_of(times: list[object], every: str | None = None) -> tuple[Grid, pl.Series]:
    column = pl.Series("at", times)
    return Grid.of(column, pl.Series([0] * len(times)), every=every), column


@pytest.mark.parametrize(
    ("times", "unit", "step", "seasons"),
    [
        ([date(2026, 1, 1) + timedelta(days=i) for i in (0, 1, 2, 4, 5)], "us", 86_400_000_000, (7,)),
        ([NOON + timedelta(hours=i) for i in range(5)], "us", 3_600_000_000, (24, 168)),
        ([NOON + timedelta(minutes=15 * i) for i in range(5)], "us", 900_000_000, (96,)),
        ([date(2026, i, 1) for i in (1, 2, 3, 5)], "month", 1, (12,)),
        ([date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)], "month_end", 1, (12,)),
        ([datetime(2024, i, 15, 6, tzinfo=UTC) for i in (1, 4, 7, 10)], "month", 3, (4,)),
        ([date(2020 + i, 7, 1) for i in range(4)], "month", 12, ()),
        ([10, 20, 30, 50], "number", 10, ()),
        ([date(2026, 1, 5) + timedelta(weeks=i) for i in range(9)], "us", 7 * 86_400_000_000, (52,)),
    ],
)
def test_the_commonest_gap_is_the_step(times: list[object], unit: str, step: int, seasons: tuple[int, ...]) -> None:
    grid, column = grid_of(times)
    assert (grid.unit, grid.step, grid.seasons) == (unit, step, seasons)
    places = grid.places(column)
    assert grid.times(places, column).equals(column)
    assert Grid(**grid.to_dict()) == grid  # type: ignore[arg-type]


def test_the_next_months_are_named_as_the_ones_before() -> None:
    ends, column = grid_of([date(2023, 11, 30), date(2023, 12, 31), date(2024, 1, 31)])
    assert ends.times(np.array([3, 4]), column).to_list() == [date(2024, 2, 29), date(2024, 3, 31)]
    days, column = grid_of([datetime(2023, 11, 15, 6, tzinfo=UTC), datetime(2023, 12, 15, 6, tzinfo=UTC)])
    assert days.times(np.array([2]), column).to_list() == [datetime(2024, 1, 15, 6, tzinfo=UTC)]


def test_series_have_their_own_gaps() -> None:
    column = pl.Series("at", [date(2026, 1, 1), date(2026, 1, 3), date(2026, 1, 2), date(2026, 1, 4)])
    with pytest.raises(InputError, match=r"'at' is irregular: 2026-01-02 is on no step of 172800 s"):
        Grid.of(column, pl.Series(["a", "a", "b", "b"]))
    assert Grid.of(column, pl.Series(["a", "a", "b", "b"]), every="1d").places(column).tolist() == [0, 2, 1, 3]


def test_what_is_no_grid_is_told() -> None:
    with pytest.raises(InputError, match=r"irregular: .*13:07"):
        grid_of([NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=2), NOON + timedelta(hours=1, minutes=7)])
    with pytest.raises(InputError, match="irregular"):
        grid_of([date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 2)], "1mo")
    with pytest.raises(InputError, match="is String: give dates"):
        grid_of(["2026-01-01"])
    with pytest.raises(InputError, match="holds whole numbers"):
        grid_of([1, 2, 3], "1d")
    with pytest.raises(DefinitionError, match="cannot read the duration 'often'"):
        grid_of([date(2026, 1, 1), date(2026, 1, 2)], "often")
    with pytest.raises(DefinitionError, match="every='0mo'"):
        grid_of([date(2026, 1, 1), date(2026, 2, 1)], "0mo")
