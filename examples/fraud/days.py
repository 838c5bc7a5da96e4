"""Which days are for what: history, training, the days that come as a stream, and the day that is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

LABEL_DELAY = timedelta(days=7)
TEST_DAYS, TRAINING_DAYS = 7, 21


@dataclass(frozen=True)
class Days:
    """The transactions by use; labels of a day are known a week later."""

    history: pl.DataFrame  # ingested as a batch
    training: pl.DataFrame  # of the history, with labels that are known when it ends
    streamed: pl.DataFrame  # the first six days of the last week
    served: pl.DataFrame  # its last day
    labels: pl.DataFrame  # one event a label, at the moment it becomes known


def divide(transactions: pl.DataFrame) -> Days:
    """By the day numbers of the simulation."""
    day, last = pl.col("day"), int(str(transactions["day"].max()))
    begin = last - TEST_DAYS + 1
    # The simulator's clock ticks in seconds; the order within one becomes microseconds, so that no two are at once.
    exact = transactions.with_columns(ts=pl.col("ts") + pl.duration(microseconds=pl.col("transaction_id") % 1_000_000))
    labels = exact.select("terminal_id", "is_fraud", known_ts=pl.col("ts") + LABEL_DELAY)
    return Days(
        history=exact.filter(day < begin),
        training=exact.filter(day.is_between(begin - 7 - TRAINING_DAYS, begin - 8)),
        streamed=exact.filter(day.is_between(begin, last - 1)),
        served=exact.filter(day == last),
        labels=labels.sort("known_ts"),
    )


def moments(transactions: pl.DataFrame, labels: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Consecutive stretches of time, as (labels, transactions), in which no transaction depends on another.

    Within a stretch no customer and no terminal pays twice, and no label comes after a payment at its terminal: so
    the labels can be stored first, then all payments be looked at, then all be stored.
    """
    begin, end = transactions["ts"][0], transactions["ts"][-1]
    events = pl.concat(
        [
            transactions.select("ts", "terminal_id", "customer_id"),
            labels.filter(pl.col("known_ts").is_between(begin, end)).select(
                "terminal_id", ts="known_ts", customer_id=pl.lit(None, dtype=pl.Int64)
            ),
        ],
        how="diagonal",
    ).sort("ts")
    terminals, customers, since = set[int](), set[int](), begin
    for ts, terminal, customer in events.iter_rows():
        if terminal in terminals or customer in customers:
            yield _between(transactions, labels, since, ts)
            terminals, customers, since = set(), set(), ts
        if customer is not None:
            terminals.add(terminal)
            customers.add(customer)
    yield _between(transactions, labels, since, end + timedelta(microseconds=1))


def _between(
    transactions: pl.DataFrame, labels: pl.DataFrame, since: datetime, until: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    known = slice(*(int(labels["known_ts"].search_sorted(moment)) for moment in (since, until)))
    paid = slice(*(int(transactions["ts"].search_sorted(moment)) for moment in (since, until)))
    return labels[known], transactions[paid]
