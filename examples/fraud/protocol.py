"""The fraud handbook's protocol: a week to train on, a week until its labels are known, a week to be judged on.

The handbook judges by ROC AUC, average precision and Card Precision@100, once (`HANDBOOK`) and on four weekly
shifts (`weekly_shifts(HANDBOOK)`). Hyperparameters are chosen on shifts that end before the test weeks begin
(`earlier_shifts(HANDBOOK)`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

CARDS_A_DAY = 100


@dataclass(frozen=True, slots=True)
class Split:
    """Training days, days until labels are known, test days; `train_start` counts from the first day, 0."""

    train_start: int
    train_days: int = 7
    delay_days: int = 7
    test_days: int = 7

    def __post_init__(self) -> None:
        """Raise ValueError where a period is missing."""
        if min(self.train_days, self.test_days) < 1 or min(self.train_start, self.delay_days) < 0:
            raise ValueError(f"{self}: a split needs a training day and a test day, none before day 0")

    @property
    def train_end(self) -> int:
        """The day after the last training day."""
        return self.train_start + self.train_days

    @property
    def test_start(self) -> int:
        """The first test day."""
        return self.train_end + self.delay_days

    @property
    def test_end(self) -> int:
        """The day after the last test day."""
        return self.test_start + self.test_days

    def shift(self, days: int) -> Split:
        """The same split some days later (earlier, where negative)."""
        return replace(self, train_start=self.train_start + days)


# 25-31 July 2018, and 8-14 August.
HANDBOOK = Split(train_start=115)


def last_split(days: int, *, periods: Split | None = None) -> Split:
    """The split of the given periods (a week each, if not given) whose test ends with the last of so many days.

    Raises ValueError where the days are too few.
    """
    split = periods or Split(train_start=0)
    if split.test_end > days:
        raise ValueError(f"{days} days are too few for {split}: simulate at least {split.test_end}")
    return split.shift(days - split.test_end)


def weekly_shifts(first: Split, *, count: int = 4) -> tuple[Split, ...]:
    """A split and the ones 1, 2, ... test periods later: trained anew each time."""
    return tuple(first.shift(index * first.test_days) for index in range(count))


def earlier_shifts(first: Split, *, count: int = 4) -> tuple[Split, ...]:
    """The splits to choose hyperparameters on, oldest first.

    The last one's test week ends where the first split's training week ends: all its labels are known when the
    first split's test begins, and no test week is ever looked at.
    """
    last = first.shift(first.train_end - first.test_end)
    return tuple(last.shift(-index * first.test_days) for index in reversed(range(count)))


def training_rows(transactions: pl.DataFrame, split: Split) -> pl.DataFrame:
    """The transactions of the training days."""
    return transactions.filter(_in_days(split.train_start, split.train_end))


def judged_rows(transactions: pl.DataFrame, split: Split) -> pl.DataFrame:
    """The transactions of the test days, less those of customers whose card is known to be compromised.

    Known on a test day are the frauds since the first training day that are more than `delay_days` old.
    """
    test = transactions.filter(_in_days(split.test_start, split.test_end))
    known = (
        transactions.filter(_in_days(split.train_start, split.test_end) & pl.col("is_fraud"))
        .group_by("customer_id")
        .agg(known_from=pl.col("day").min() + split.delay_days + 1)
    )
    return (
        test.join(known, on="customer_id", how="left", maintain_order="left")
        .filter(pl.col("known_from").is_null() | (pl.col("day") < pl.col("known_from")))
        .drop("known_from")
    )


def _in_days(start: int, end: int) -> pl.Expr:
    return (pl.col("day") >= start) & (pl.col("day") < end)


@dataclass(frozen=True, slots=True)
class Metrics:
    """How well scores find fraud: each from 0 to 1, more is better."""

    roc_auc: float
    average_precision: float
    card_precision: float


def evaluate(scored: pl.DataFrame, *, k: int = CARDS_A_DAY) -> Metrics:
    """Judge scores: a frame of day, customer_id, is_fraud, score (more is more suspicious)."""
    labels, scores = scored["is_fraud"].to_numpy(), scored["score"].to_numpy()
    return Metrics(roc_auc(labels, scores), average_precision(labels, scores), card_precision_at(scored, k=k))


def mean_metrics(parts: Iterable[Metrics]) -> Metrics:
    """The mean of each metric over splits; raises ValueError where there is none."""
    measured: Sequence[Metrics] = list(parts)
    if not measured:
        raise ValueError("no split was judged: the mean of no metrics is undefined")
    count = len(measured)
    return Metrics(
        sum(part.roc_auc for part in measured) / count,
        sum(part.average_precision for part in measured) / count,
        sum(part.card_precision for part in measured) / count,
    )


def card_precision_at(scored: pl.DataFrame, *, k: int = CARDS_A_DAY) -> float:
    """Card Precision@k: the share of compromised cards among the k most suspicious ones, averaged over days.

    A card's score is the highest of its transactions that day; a compromised card among the k counts as caught
    and is no longer looked at on later days. `scored` holds day, customer_id, is_fraud, score; equal scores
    rank by customer_id. The divisor is k on every day, as in the handbook. Raises ValueError without rows.
    """
    if k < 1:
        raise ValueError(f"k is {k}: at least one card a day must be looked at")
    if scored.is_empty():
        raise ValueError("no transaction to judge: the scored frame is empty")
    cards = scored.group_by("day", "customer_id").agg(pl.col("score").max(), pl.col("is_fraud").any())
    caught: set[int] = set()
    shares: list[float] = []
    for _, today in sorted(cards.group_by("day"), key=lambda item: item[0]):
        open_cards = today.filter(~pl.col("customer_id").is_in(caught))
        top = open_cards.sort("score", "customer_id", descending=[True, False], nulls_last=True).head(k)
        found = top.filter("is_fraud")["customer_id"].to_list()
        caught.update(found)
        shares.append(len(found) / k)
    return float(np.mean(shares))


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a random fraud scores above a random honest transaction, ties counting half.

    labels: n booleans (or 0, 1); scores: n numbers. Raises ValueError unless both classes are there.
    """
    positives, negatives = _steps(labels, scores)
    # Trapezoids under the curve, one per distinct score.
    honest_at, fraud_at = np.diff(negatives, prepend=0.0), np.diff(positives, prepend=0.0)
    if negatives[-1] == 0:
        raise ValueError("all labels are positive: ROC AUC needs both classes")
    area = float(np.sum(honest_at * (positives - fraud_at / 2)))
    return area / float(positives[-1] * negatives[-1])


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Precision at each distinct score, weighted by the recall gained there.

    labels: n booleans (or 0, 1); scores: n numbers. Raises ValueError without a positive label.
    """
    positives, negatives = _steps(labels, scores)
    precision = positives / (positives + negatives)
    gained = np.diff(positives, prepend=0.0) / positives[-1]
    return float(np.sum(precision * gained))


def _steps(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives at or above each distinct score, from the highest score down."""
    truth, score = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=np.float64)
    if truth.shape != score.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {score.shape} must be one number per row")
    if np.isnan(score).any():
        raise ValueError("a score is NaN: every row needs a number")
    if not truth.any():
        raise ValueError("no label is positive: nothing can be found")
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(order) - 1)
    positives = np.cumsum(truth[order], dtype=np.float64)[ends]
    return positives, ends + 1.0 - positives
