"""The three ways fraud happens in the simulator, laid over honest payments."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

LARGE_AMOUNT = 220.0
TERMINAL_DAYS = 28
CUSTOMER_DAYS = 14
LEAK_FACTOR = 5.0


@dataclass(frozen=True, slots=True)
class FraudPace:
    """How many terminals and customers are compromised at a time, and how many days pass until the next ones."""

    terminals: int = 2
    terminal_every_days: int = 1
    customers: int = 3
    customer_every_days: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError where the pace has no meaning."""
        if min(self.terminals, self.terminal_every_days, self.customers, self.customer_every_days) < 1:
            raise ValueError(f"{self}: every number of a pace must be at least 1")


class Fraud(NamedTuple):
    """The amounts after fraud, and the scenario (0 honest, 1, 2, 3) of each transaction."""

    amounts: np.ndarray
    scenarios: np.ndarray


def commit(honest: pl.DataFrame, *, customers: int, terminals: int, days: int, pace: FraudPace) -> Fraud:
    """Lay the scenarios over honest payments (by time; columns customer_id, terminal_id, amount, day).

    Later scenarios overwrite earlier ones. Nobody is newly compromised on the last day.
    """
    amounts = honest["amount"].to_numpy().copy()
    on_day = honest["day"].to_numpy()
    scenarios = np.zeros(len(amounts), dtype=np.int8)
    scenarios[amounts > LARGE_AMOUNT] = 1

    at_terminal = _RowsBy(honest["terminal_id"].to_numpy(), terminals)
    for day in range(0, days - 1, pace.terminal_every_days):
        for terminal in _sample(terminals, pace.terminals, day):
            scenarios[_within(at_terminal.of(terminal), on_day, day, TERMINAL_DAYS)] = 2

    by_customer = _RowsBy(honest["customer_id"].to_numpy(), customers)
    for day in range(0, days - 1, pace.customer_every_days):
        leaked = [
            _within(by_customer.of(customer), on_day, day, CUSTOMER_DAYS)
            for customer in _sample(customers, pace.customers, day)
        ]
        # By time, not by customer: the positions that are drawn below count in that order.
        rows = np.sort(np.concatenate(leaked, dtype=np.int64))
        drawn = rows[random.Random(day).sample(range(len(rows)), len(rows) // 3)]
        amounts[drawn] *= LEAK_FACTOR
        scenarios[drawn] = 3
    return Fraud(amounts, scenarios)


def _sample(population: int, count: int, seed: int) -> np.ndarray:
    """The ids that pandas' `Series.sample(n=count, random_state=seed)` would draw of 0..population-1."""
    return np.random.RandomState(seed).choice(population, size=count, replace=False)


class _RowsBy:
    """The rows of each id, in time order, found without scanning all rows for every id."""

    def __init__(self, ids: np.ndarray, count: int) -> None:
        self._order = np.argsort(ids, kind="stable")
        self._starts = np.searchsorted(ids[self._order], np.arange(count + 1))

    def of(self, key: int) -> np.ndarray:
        return self._order[self._starts[key] : self._starts[key + 1]]


def _within(rows: np.ndarray, on_day: np.ndarray, day: int, length: int) -> np.ndarray:
    """Those of the rows (by time) whose day is in [day, day + length)."""
    first, end = np.searchsorted(on_day[rows], (day, day + length))
    return rows[first:end]
