"""The simulator against its rules, followed row by row in the plainest way."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

from eagleray.examples.fraud.protocol import HANDBOOK, judged_rows, training_rows
from eagleray.examples.fraud.scenarios import FraudPace
from eagleray.examples.fraud.simulator import (
    FULL,
    SMALL,
    TINY,
    SimulatorSize,
    draw_customers,
    draw_payments,
    draw_terminals,
    simulate,
)

HANDBOOK_PACE = SimulatorSize(customers=25, terminals=60, days=45, radius=18.0)


def by_the_rules(size: SimulatorSize) -> pd.DataFrame:
    """Global generators, one row at a time, and pandas for the samples, as the rules are worded."""
    np.random.seed(0)
    customers = [
        (
            np.random.uniform(0, 100),
            np.random.uniform(0, 100),
            np.random.uniform(5, 100),
            np.random.uniform(0, 4),
        )
        for _ in range(size.customers)
    ]
    np.random.seed(1)
    terminals = [(np.random.uniform(0, 100), np.random.uniform(0, 100)) for _ in range(size.terminals)]
    rows = []
    for customer, (x, y, mean, rate) in enumerate(customers):
        near = [i for i, (tx, ty) in enumerate(terminals) if math.sqrt((tx - x) ** 2 + (ty - y) ** 2) < size.radius]
        random.seed(customer)
        np.random.seed(customer)
        for day in range(size.days):
            for _ in range(np.random.poisson(rate)):
                t = int(np.random.normal(43200, 20000))
                if 0 < t < 86400:
                    amount = np.random.normal(mean, mean / 2)
                    if amount < 0:
                        amount = np.random.uniform(0, 2 * mean)
                    if near:
                        rows.append((day * 86400 + t, customer, random.choice(near), np.round(amount, 2), day))
    frame = pd.DataFrame(rows, columns=["second", "customer_id", "terminal_id", "amount", "day"])
    frame = frame.sort_values("second", kind="stable").reset_index(drop=True)
    frame["scenario"] = 0
    frame.loc[frame.amount > 220, "scenario"] = 1
    for day in range(0, size.days - 1, size.pace.terminal_every_days):
        hit = pd.Series(range(size.terminals)).sample(n=size.pace.terminals, random_state=day)
        inside = (frame.day >= day) & (frame.day < day + 28) & frame.terminal_id.isin(hit)
        frame.loc[inside, "scenario"] = 2
    for day in range(0, size.days - 1, size.pace.customer_every_days):
        hit = pd.Series(range(size.customers)).sample(n=size.pace.customers, random_state=day)
        inside = (frame.day >= day) & (frame.day < day + 14) & frame.customer_id.isin(hit)
        index = list(frame.index[inside])
        random.seed(day)
        drawn = random.sample(index, k=int(len(index) / 3))
        frame.loc[drawn, "amount"] *= 5
        frame.loc[drawn, "scenario"] = 3
    return frame


@pytest.mark.parametrize("size", [TINY, HANDBOOK_PACE], ids=["tiny", "handbook pace"])
def test_every_row_is_what_the_rules_say(size: SimulatorSize) -> None:
    expected = by_the_rules(size)
    made = simulate(size).transactions
    start = datetime(2018, 4, 1, tzinfo=UTC)
    assert made["ts"].to_list() == [start + timedelta(seconds=s) for s in expected.second.tolist()]
    for column in ("customer_id", "terminal_id", "amount", "scenario", "day"):
        assert made[column].to_list() == expected[column].tolist(), column
    assert made["is_fraud"].to_list() == (expected.scenario > 0).tolist()
    assert made["transaction_id"].to_list() == list(range(len(expected)))
    assert set(made["scenario"]) >= {0, 2, 3}


def test_the_frames_have_the_promised_types() -> None:
    made = simulate(TINY)
    assert dict(made.transactions.schema) == {
        "transaction_id": pl.Int64(),
        "ts": pl.Datetime("us", "UTC"),
        "customer_id": pl.Int64(),
        "terminal_id": pl.Int64(),
        "amount": pl.Float64(),
        "is_fraud": pl.Boolean(),
        "scenario": pl.Int8(),
        "day": pl.Int32(),
    }
    assert made.customers.columns == ["customer_id", "x", "y", "amount_mean", "amount_std", "daily_rate"]
    assert made.terminals.columns == ["terminal_id", "x", "y"]
    assert made.size is TINY
    by_time = made.transactions["ts"]
    assert by_time.is_sorted()
    midnight = datetime(2018, 4, 1, tzinfo=UTC)
    assert ((by_time - midnight).dt.total_days() == made.transactions["day"]).all()


def test_the_small_size_has_a_use_for_every_week() -> None:
    made = simulate(SMALL).transactions
    assert (len(made), made["is_fraud"].sum()) == (62_755, 1_565)
    assert made["scenario"].unique().sort().to_list() == [0, 1, 2, 3]
    assert made["day"].n_unique() == SMALL.days


def test_the_full_size_has_the_published_tallies() -> None:
    made = simulate(FULL).transactions
    assert len(made) == 1_754_155
    assert [(made["scenario"] == scenario).sum() for scenario in (1, 2, 3)] == [973, 9_077, 4_631]
    week = training_rows(made, HANDBOOK)
    assert (len(week), week["is_fraud"].sum()) == (67_240, 598)
    judged = judged_rows(made, HANDBOOK)
    assert (len(judged), judged["is_fraud"].sum()) == (58_264, 385)


def test_the_first_full_size_customers_are_the_handbooks_own() -> None:
    # The published table's first customer pays 62.26 on average, 2.18 times a day.
    first = draw_customers(FULL.customers).row(0, named=True)
    assert round(first["x"], 2) == 54.88
    assert round(first["amount_mean"], 2) == 62.26
    assert round(first["daily_rate"], 2) == 2.18


def test_progress_tells_of_the_last_customer() -> None:
    told: list[tuple[int, int]] = []
    simulate(TINY, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (30, 30)


def test_a_customer_without_a_terminal_in_reach_pays_nowhere() -> None:
    size = SimulatorSize(customers=3, terminals=1, days=5, radius=0.01, pace=FraudPace(1, 1, 1, 1))
    payments = draw_payments(draw_customers(3), draw_terminals(1), size)
    assert payments.is_empty()
    assert simulate(size).transactions.is_empty()


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        SimulatorSize(customers=0, terminals=1, days=1, radius=1.0)
    with pytest.raises(ValueError, match="lower the pace"):
        SimulatorSize(customers=2, terminals=9, days=1, radius=1.0)
    with pytest.raises(ValueError, match="at least 1"):
        FraudPace(terminals=0)
