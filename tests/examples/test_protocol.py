"""The protocol against a plain reading of it, and the metrics against scikit-learn's."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from eagleray.examples.fraud.protocol import (
    HANDBOOK,
    Metrics,
    Split,
    average_precision,
    card_precision_at,
    earlier_shifts,
    evaluate,
    judged_rows,
    last_split,
    mean_metrics,
    roc_auc,
    training_rows,
    weekly_shifts,
)
from eagleray.examples.fraud.simulator import TINY, simulate


@pytest.fixture(scope="module")
def transactions() -> pl.DataFrame:
    return simulate(TINY).transactions


def test_the_handbook_split_is_in_july_and_august() -> None:
    assert (HANDBOOK.train_start, HANDBOOK.train_end, HANDBOOK.test_start, HANDBOOK.test_end) == (115, 122, 129, 136)
    assert [split.train_start for split in weekly_shifts(HANDBOOK)] == [115, 122, 129, 136]
    earlier = earlier_shifts(HANDBOOK)
    assert [split.train_start for split in earlier] == [80, 87, 94, 101]
    assert max(split.test_end for split in earlier) == HANDBOOK.train_end
    assert last_split(24) == Split(train_start=3)


@pytest.mark.parametrize("split", [last_split(24), Split(2, train_days=5, delay_days=3, test_days=6)])
def test_known_compromised_customers_are_dropped(transactions: pl.DataFrame, split: Split) -> None:
    rows = transactions.to_dicts()
    expected = []
    for day in range(split.test_start, split.test_end):
        # A label is known once it is older than the delay.
        known = {
            r["customer_id"] for r in rows if r["is_fraud"] and split.train_start <= r["day"] < day - split.delay_days
        }
        expected += [r for r in rows if r["day"] == day and r["customer_id"] not in known]
    assert judged_rows(transactions, split).to_dicts() == expected
    week = [r for r in rows if split.train_start <= r["day"] < split.train_end]
    assert training_rows(transactions, split).to_dicts() == week
    assert 0 < len(expected) < sum(split.test_start <= r["day"] < split.test_end for r in rows)


labelled_scores = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.25000001, 0.5, 0.9, 1.0, -3.0, float("inf")])),
    min_size=2,
    max_size=60,
).filter(lambda pairs: len({label for label, _ in pairs}) == 2)


@settings(max_examples=150, deadline=None)
@given(labelled_scores)
def test_metrics_equal_the_sum_over_pairs_and_thresholds(pairs: list[tuple[bool, float]]) -> None:
    labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
    wins = [(p > n) + (p == n) / 2 for p in scores[labels] for n in scores[~labels]]
    assert roc_auc(labels, scores) == pytest.approx(np.mean(wins), abs=1e-12)
    precision_at_each_fraud = [np.mean(labels[scores >= p]) for p in scores[labels]]
    assert average_precision(labels, scores) == pytest.approx(np.mean(precision_at_each_fraud), abs=1e-12)


def test_metrics_equal_scikit_learns() -> None:
    draws = np.random.default_rng(3)
    for decimals in (1, 3, 9):
        labels = draws.random(5_000) < 0.02
        scores = np.round(draws.random(5_000) + labels * 0.3, decimals)
        assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_card_precision_equals_a_plain_reading(transactions: pl.DataFrame, k: int) -> None:
    draws = np.random.default_rng(k)
    rows = judged_rows(transactions, last_split(24))
    noise = np.round(draws.random(len(rows)), 1)  # coarse, so that scores tie
    scored = rows.with_columns(score=pl.Series(noise) + pl.col("is_fraud").cast(pl.Float64) * 0.4)
    caught: set[int] = set()
    shares = []
    for day in range(17, 24):
        cards: dict[int, tuple[float, bool]] = {}
        for row in scored.filter(pl.col("day") == day).to_dicts():
            card = row["customer_id"]
            if card not in caught:
                score, fraud = cards.get(card, (-1.0, False))
                cards[card] = (max(score, row["score"]), fraud or row["is_fraud"])
        top = sorted(cards, key=lambda card: (-cards[card][0], card))[:k]
        caught |= {card for card in top if cards[card][1]}
        shares.append(sum(cards[card][1] for card in top) / k)
    assert card_precision_at(scored, k=k) == pytest.approx(np.mean(shares))


def test_a_perfect_score_is_perfect(transactions: pl.DataFrame) -> None:
    rows = judged_rows(transactions, last_split(24))
    scored = rows.with_columns(score=pl.col("is_fraud").cast(pl.Float64))
    found = evaluate(scored, k=1)
    assert found == Metrics(roc_auc=1.0, average_precision=1.0, card_precision=found.card_precision)
    assert 0 < found.card_precision <= 1
    assert mean_metrics([found, Metrics(0.0, 0.0, 0.0)]).roc_auc == 0.5


def test_what_cannot_be_judged_is_refused() -> None:
    one = np.array([1.0])
    with pytest.raises(ValueError, match="no label is positive"):
        average_precision(np.array([False]), one)
    with pytest.raises(ValueError, match="needs both classes"):
        roc_auc(np.array([True]), one)
    with pytest.raises(ValueError, match="NaN"):
        roc_auc(np.array([True, False]), np.array([np.nan, 1.0]))
    with pytest.raises(ValueError, match="one number per row"):
        roc_auc(np.array([True, False]), one)
    with pytest.raises(ValueError, match="too few"):
        last_split(20)
    with pytest.raises(ValueError, match="before day 0"):
        earlier_shifts(last_split(24))
    with pytest.raises(ValueError, match="no split was judged"):
        mean_metrics([])
    empty = pl.DataFrame(schema={"day": pl.Int32, "customer_id": pl.Int64, "is_fraud": pl.Boolean, "score": pl.Float64})
    with pytest.raises(ValueError, match="empty"):
        card_precision_at(empty)
    with pytest.raises(ValueError, match="at least one card"):
        card_precision_at(empty, k=0)
