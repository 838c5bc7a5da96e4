"""Where a trial on all rows takes a good part of the time: many candidates are tried on few rows first.

Only the best of them are then trained on all rows: successive halving with one cut (Jamieson and Talwalkar 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .budget import usual_trial_s
from .learner import Fold
from .trainer import Portion

_CANDIDATES = 12
_SHARE = 0.25  # of the budget
_FEW_TRIALS = 24  # on all rows in the budget: with more, the search itself finds out as much
_MOST_ROWS = 0.25  # of those that teach: more would cost almost as much as a trial on all
_FEWEST_ROWS = 4_000
_FEWEST_OF_A_CLASS = 100


@dataclass(frozen=True, slots=True)
class Screening:
    """The first `candidates` of a search are trained on the rows of `portion`, for at most `limit_s` seconds each.

    `place` is the portion's number in the pool.
    """

    candidates: int
    portion: Portion
    limit_s: float
    place: int = 0


def screening(fold: Fold, *, known_rows: int, budget_s: float, seed: int, place: int = 0) -> Screening | None:
    """How to screen, so that it takes about a quarter of the budget; None where it would not pay.

    It teaches with a sample of the rows (in ranking of the queries), each class in proportion, and judges by the same
    rows as the search, those from `fold.train_rows` up to `known_rows`. It does not depend on how many work: a search
    may be resumed elsewhere.
    """
    full_s = usual_trial_s(fold.train_rows, fold.x.shape[1])
    if budget_s >= _FEW_TRIALS * full_s:
        return None
    share = max(
        min(_SHARE * budget_s / (_CANDIDATES * full_s), _MOST_ROWS),
        _FEWEST_ROWS / fold.train_rows,
        _FEWEST_OF_A_CLASS / max(1, _rarest(fold)),
    )
    if share > _MOST_ROWS:
        return None
    teaches = _sample(fold, share, np.random.default_rng(seed))
    rows = np.concatenate((teaches, np.arange(fold.train_rows, known_rows)))
    return Screening(_CANDIDATES, Portion(rows, len(teaches), slice(0, 0)), 2 * _SHARE * budget_s / _CANDIDATES, place)


def _rarest(fold: Fold) -> int:
    """How many rows the rarer class has to learn from; all where there are no classes."""
    if fold.task != "classification":
        return fold.train_rows
    positive = int(np.count_nonzero(fold.y_train))
    return min(positive, fold.train_rows - positive)


def _sample(fold: Fold, share: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The numbers of the rows taken, rising."""
    if fold.queries is not None:
        queries = fold.queries[: fold.train_rows]
        known = np.unique(queries)
        taken = rng.choice(known, max(2, round(share * len(known))), replace=False)
        return np.flatnonzero(np.isin(queries, taken))
    strata = fold.y_train > 0 if fold.task == "classification" else np.zeros(fold.train_rows, dtype=bool)
    parts = []
    for value in (False, True):
        rows = np.flatnonzero(strata == value)
        parts.append(rng.choice(rows, round(share * len(rows)), replace=False))
    return np.sort(np.concatenate(parts))
