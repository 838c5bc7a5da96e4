"""The card payments of the fraud handbook's public simulator: who pays where, when, how much, and which are fraud.

The random streams are drawn in the order the simulator's rules state, so a size always gives the same rows on
every machine; at `FULL` they are 1,754,155 transactions, of which 14,681 are fraud.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from .scenarios import FraudPace, commit

DAY_S = 86_400
NOON_S = DAY_S / 2
TIME_SPREAD_S = 20_000.0
MAP_SIDE = 100.0
START = date(2018, 4, 1)
PROGRESS_EVERY = 50


@dataclass(frozen=True, slots=True)
class SimulatorSize:
    """How much is simulated: people, places, days, and how far (`radius`, of a map of 100 x 100) people go."""

    customers: int
    terminals: int
    days: int
    radius: float
    pace: FraudPace = FraudPace()

    def __post_init__(self) -> None:
        """Raise ValueError where a size cannot be simulated."""
        if min(self.customers, self.terminals, self.days) < 1 or self.radius <= 0:
            raise ValueError(f"{self} is empty: customers, terminals, days and radius must be positive")
        if self.pace.terminals > self.terminals or self.pace.customers > self.customers:
            raise ValueError(f"{self} has too few customers or terminals for its pace: lower the pace")


FULL = SimulatorSize(customers=5_000, terminals=10_000, days=183, radius=5.0)
SMALL = SimulatorSize(
    customers=500,
    terminals=400,
    days=66,
    radius=10.0,
    pace=FraudPace(terminals=1, terminal_every_days=3, customers=1, customer_every_days=1),
)
TINY = SimulatorSize(
    customers=30,
    terminals=40,
    days=24,
    radius=30.0,
    pace=FraudPace(terminals=1, terminal_every_days=4, customers=1, customer_every_days=2),
)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was simulated, as frames.

    customers: customer_id, x, y, amount_mean, amount_std, daily_rate.
    terminals: terminal_id, x, y.
    transactions, by time: transaction_id, ts (microseconds, UTC), customer_id, terminal_id, amount, is_fraud,
    scenario (0 honest, 1 large amount, 2 terminal compromised, 3 card details leaked), day (0 is the first).
    """

    size: SimulatorSize
    customers: pl.DataFrame
    terminals: pl.DataFrame
    transactions: pl.DataFrame


def simulate(size: SimulatorSize, *, progress: Callable[[int, int], None] | None = None) -> Simulation:
    """Simulate a size; `progress(done, total)` is told of the customers done, from time to time."""
    customers = draw_customers(size.customers)
    terminals = draw_terminals(size.terminals)
    honest = draw_payments(customers, terminals, size, progress=progress)
    amounts, scenarios = commit(
        honest, customers=size.customers, terminals=size.terminals, days=size.days, pace=size.pace
    )
    return Simulation(size, customers, terminals, _with_fraud(honest, amounts, scenarios))


def draw_customers(count: int) -> pl.DataFrame:
    """Customers: where they live, what they spend (mean, standard deviation) and how often a day."""
    # One call for all: the generator hands out the same doubles as four calls per customer would.
    unit = np.random.RandomState(0).random_sample((count, 4))
    mean = 5.0 + (100.0 - 5.0) * unit[:, 2]
    return pl.DataFrame(
        {
            "customer_id": np.arange(count, dtype=np.int64),
            "x": MAP_SIDE * unit[:, 0],
            "y": MAP_SIDE * unit[:, 1],
            "amount_mean": mean,
            "amount_std": mean / 2,
            "daily_rate": 4.0 * unit[:, 3],
        }
    )


def draw_terminals(count: int) -> pl.DataFrame:
    """Terminals and where they stand."""
    unit = np.random.RandomState(1).random_sample((count, 2))
    ids = np.arange(count, dtype=np.int64)
    return pl.DataFrame({"terminal_id": ids, "x": MAP_SIDE * unit[:, 0], "y": MAP_SIDE * unit[:, 1]})


def draw_payments(
    customers: pl.DataFrame,
    terminals: pl.DataFrame,
    size: SimulatorSize,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Every honest payment of all customers, by time: transaction_id, ts, customer_id, terminal_id, amount, day.

    Payments of the same second stay in the order of their customers: a stable sort is the same everywhere.
    """
    places = terminals.select("x", "y").to_numpy()
    seconds: list[int] = []
    raw_amounts: list[float] = []
    terminal_ids: list[int] = []
    counts: list[int] = []
    payer = _Payer(seconds, raw_amounts, terminal_ids)
    homes = customers.select("x", "y").to_numpy()
    for home, habits in zip(homes, customers.drop("x", "y").iter_rows(), strict=True):
        near = np.flatnonzero(np.sqrt(((places - home) ** 2).sum(axis=1)) < size.radius)
        counts.append(payer.pay(habits, reach=near.tolist(), days=size.days))
        if progress and (len(counts) % PROGRESS_EVERY == 0 or len(counts) == size.customers):
            progress(len(counts), size.customers)
    second = np.array(seconds, dtype=np.int64)
    order = np.argsort(second, kind="stable")
    start = pl.lit(START).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "transaction_id": np.arange(len(order), dtype=np.int64),
            "second": second[order],
            "customer_id": customers["customer_id"].to_numpy().repeat(counts)[order],
            "terminal_id": np.array(terminal_ids, dtype=np.int64)[order],
            "amount": np.round(np.array(raw_amounts, dtype=np.float64), 2)[order],
        }
    ).select(
        "transaction_id",
        ts=start + pl.duration(seconds=pl.col("second")),
        customer_id="customer_id",
        terminal_id="terminal_id",
        amount="amount",
        day=(pl.col("second") // DAY_S).cast(pl.Int32),
    )


class _Payer:
    """One customer after the other pays; what they pay is appended to three lists of one length.

    A draw decides whether the next one happens, so the stream cannot be drawn in blocks: the loop is kept tight.
    """

    def __init__(self, seconds: list[int], amounts: list[float], terminals: list[int]) -> None:
        self._seconds, self._amounts, self._terminals = seconds, amounts, terminals
        self._draws = np.random.RandomState(0)
        self._picks = random.Random(0)

    def pay(self, habits: tuple[int, float, float, float], *, reach: list[int], days: int) -> int:
        """Append the payments of one customer at the terminals in reach; return how many.

        habits: customer_id, mean and standard deviation of the amount, payments a day.
        """
        if not reach:
            return 0
        customer_id, mean, std, rate = habits
        self._draws.seed(customer_id)
        self._picks.seed(customer_id)
        # Bound once: two million draws are made here.
        poisson, normal, uniform = self._draws.poisson, self._draws.standard_normal, self._draws.random_sample
        pick, before = self._picks.choice, len(self._seconds)
        seconds, amounts, terminals = self._seconds.append, self._amounts.append, self._terminals.append
        for midnight in range(0, days * DAY_S, DAY_S):
            for _ in range(poisson(rate)):
                second = int(NOON_S + TIME_SPREAD_S * normal())
                if not 0 < second < DAY_S:
                    continue
                amount = mean + std * normal()
                amounts(amount if amount >= 0 else 2 * mean * uniform())
                terminals(pick(reach))
                seconds(midnight + second)
        return len(self._seconds) - before


def _with_fraud(honest: pl.DataFrame, amounts: np.ndarray, scenarios: np.ndarray) -> pl.DataFrame:
    scenario = pl.Series("scenario", scenarios, dtype=pl.Int8)
    return honest.with_columns(pl.Series("amount", amounts), scenario, is_fraud=scenario > 0).select(
        "transaction_id", "ts", "customer_id", "terminal_id", "amount", "is_fraud", "scenario", "day"
    )
