"""How many of the first k are right: of rows, and of cards day by day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating]
Codes = npt.NDArray[np.int64]

CARDS_A_DAY = 100


def precision_at_k(labels: Values, scores: Values, k: int) -> float:
    """The share of positives among the k highest scores (all rows where there are fewer).

    Where equal scores lie across the border it is what a random choice among them gives in the mean.
    """
    order = np.argsort(-scores, kind="stable")
    k = min(k, len(order))
    if k == 0:
        return float("nan")
    border = scores[order[k - 1]]
    above, at = scores > border, scores == border
    sure, left = labels[above].sum(), k - int(above.sum())
    return float((sure + left * labels[at].mean()) / k)


def card_precisions(labels: Values, scores: Values, cards: Codes, days: Codes, k: int = CARDS_A_DAY) -> Values:
    """Card Precision@k of each day in order: the k cards with the highest score, less those found before.

    A card's score of a day is its rows' highest, and it is right if one of its rows of that day is positive. Fewer
    cards than k count as k. Equal scores: the card with the smaller number first. (Le Borgne et al. 2022.)
    """
    found = np.zeros(int(cards.max()) + 1 if len(cards) else 0, dtype=bool)
    precisions = []
    order = np.argsort(days, kind="stable")
    edges = np.flatnonzero(np.diff(days[order])) + 1
    for rows in np.split(order, edges) if len(order) else []:
        some, place = np.unique(cards[rows], return_inverse=True)
        highest = np.full(len(some), -np.inf)
        np.maximum.at(highest, place, scores[rows])
        right = np.zeros(len(some), dtype=bool)
        np.logical_or.at(right, place, labels[rows] > 0.5)
        open_ = ~found[some]
        some, highest, right = some[open_], highest[open_], right[open_]
        first = np.argsort(-highest, kind="stable")[:k]
        precisions.append(float(right[first].sum()) / k)
        found[some[first][right[first]]] = True
    return np.array(precisions)
