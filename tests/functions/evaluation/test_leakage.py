"""What tells the label away: perfect columns, moments to come."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from eagleray.functions.evaluation.leakage import check_future_times, check_perfect_features
from eagleray.runtime.errors import InputError

ROWS = 1000


def labels(positive: int = 300) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return (np.arange(ROWS) < positive).astype(np.float64)[np.random.default_rng(1).permutation(ROWS)]


def noise() -> pl.Series:
    return pl.Series(np.random.default_rng(2).random(ROWS))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_column_in_which_no_class_returns_is_refused(sign: float) -> None:
    y = labels()
    table = pl.DataFrame({"told": sign * (y + 0.9 * noise().to_numpy()), "fine": noise()})
    with pytest.raises(InputError, match=r"'told' alone tells every one of the 1,000 labels.*options.trusted"):
        check_perfect_features(table, ("told", "fine"), y)
    check_perfect_features(table, ("told", "fine"), y, trusted=("told",))


def test_one_row_that_is_told_wrong_is_enough_to_pass() -> None:
    y = labels()
    told = y + 0.9 * noise().to_numpy()
    told[np.flatnonzero(y == 0)[0]] = 5.0
    check_perfect_features(pl.DataFrame({"told": told}), ("told",), y)


def test_codes_that_each_go_with_one_class_are_refused() -> None:
    y = labels()
    codes = np.where(y > 0, 2 * np.random.default_rng(3).integers(1, 5, ROWS), 2 * (np.arange(ROWS) % 3) + 1)
    with pytest.raises(InputError, match="'state' alone tells"):
        check_perfect_features(pl.DataFrame({"state": codes}), ("state",), y)
    codes[np.flatnonzero(y == 0)[0]] = 2
    check_perfect_features(pl.DataFrame({"state": codes}), ("state",), y)


def test_three_classes_in_their_order_are_refused() -> None:
    y = np.arange(ROWS) % 3
    table = pl.DataFrame({"told": y + 0.9 * noise().to_numpy(), "half": np.minimum(y, 1) + 0.9 * noise().to_numpy()})
    check_perfect_features(table, ("half",), y.astype(np.float64))
    with pytest.raises(InputError, match="'told' alone tells"):
        check_perfect_features(table, ("told",), y.astype(np.float64))


def test_few_rows_of_a_class_may_be_told_by_chance() -> None:
    y = labels(positive=20)
    check_perfect_features(pl.DataFrame({"told": y + 0.9 * noise().to_numpy()}), ("told",), y)


def rows() -> pl.DataFrame:
    return pl.DataFrame({"at": pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 2, 1), "1m", eager=True)})


@pytest.mark.parametrize(("unit", "factor"), [("s", 1_000_000), ("ms", 1000), ("us", 1)])
def test_moments_after_the_rows_own_are_refused(unit: str, factor: int) -> None:
    us = rows()["at"].dt.epoch("us").to_numpy()
    late = us.copy()
    late[7] += 60_000_000
    table = rows().with_columns(seen=pl.Series(us // factor), back=pl.Series(late / factor), other=pl.lit(3.0))
    with pytest.raises(
        InputError, match=rf"'back' holds times \({unit} since 1970\) after the row's own 'at' in 1 rows"
    ):
        check_future_times(table, ("seen", "back", "other"), "at")
    check_future_times(table, ("seen", "back", "other"), "at", trusted=("back",))
    check_future_times(table, ("seen", "other"), "at")


def test_numbers_that_are_no_moments_pass() -> None:
    table = rows().with_columns(amount=1e12 * pl.int_range(pl.len()), one=pl.lit(1.0), none=pl.lit(None, pl.Float64))
    check_future_times(table, ("amount", "one", "none"), "at")
    check_future_times(table.with_columns(at=pl.int_range(pl.len())), ("amount",), "at")
    check_future_times(table, ("amount",), None)
