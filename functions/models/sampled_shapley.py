"""Explains any model that gives one score a row, by asking it again with features from other rows.

What a feature adds is its Shapley value: its effect on the score, averaged over all orders in which the features of the
row can take the place of a background row's. Up to `EXACT_FEATURES` features every set of features is asked about; with
more, orders are drawn (Strumbelj and Kononenko 2014), each with its reverse, as often for every background row. A walk
from a background row to the row explained adds up by itself, so the parts and the base value, the background's mean
score, add up to the score in either case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.errors import InputError
from .adding_up import adding_up
from .feature_names import unexplained
from .learned_content import learned_content

Floats = npt.NDArray[np.float64]
EXACT_FEATURES = 8
MOST_BACKGROUND = 100
_FEWEST_WALKS = 50
_ASKED_AT_ONCE = 200_000  # rows; what a question may hold in memory


@dataclass(frozen=True, slots=True)
class Explained:
    """`parts`: rows x (features + 1), the base value last. `errors`: rows x features, each part's standard error (0
    where every set of features was asked about), for this background; the background's own chance is not in it."""

    parts: Floats
    errors: Floats


class SampledShapley:
    """A model with one score a row, which now has contributions, in units of the score.

    `background` is rows x features, what the model usually sees (up to 100 rows are drawn of it); a row costs about
    background x 2 ** features predictions up to 8 features, else at least 50 x 2 x features. Raises `InputError`.
    """

    explains = True
    link = "identity"  # parts are of the score itself

    def __init__(self, model: Any, background: npt.ArrayLike, *, seed: int = 0) -> None:
        self.features: tuple[str, ...] = tuple(model.features)
        self.name = str(getattr(model, "name", type(model).__name__))
        self.version = str(getattr(model, "version", ""))
        self._model = model
        self._seed = seed
        rows = np.asarray(background, np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.features) or not len(rows):
            raise InputError(
                f"the background of {self.name} is {rows.shape}: give rows x {len(self.features)} features, one or more"
            )
        if len(rows) > MOST_BACKGROUND:
            rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), MOST_BACKGROUND, replace=False))]
        self._background = rows

    @property
    def carries(self) -> tuple[Any, ...]:
        """The model, whose code may be the user's own."""
        return (self._model, *getattr(self._model, "carries", ()))

    def predict(self, rows: Floats) -> Floats:
        """What the model says."""
        found: Floats = self._model.predict(rows)
        return found

    def margins(self, rows: Floats) -> Floats:
        """The score itself, which the parts add up to."""
        return self.predict(rows)

    def explain(self, rows: Floats) -> Floats:
        """Rows x (features + 1), the last column the base value; raises `InputError` for several scores a row, and
        `EaglerayError` where the model scores the same row differently from time to time."""
        return self.explained(rows).parts

    def explained(self, rows: Floats) -> Explained:
        """The parts with their standard errors; the same rows always give the same. Raises as `explain` does."""
        scores = np.asarray(self.predict(rows), np.float64)
        if scores.ndim != 1:
            raise unexplained(self.name, classes=True)
        width = len(self.features)
        parts, errors = np.zeros((len(rows), width + 1)), np.zeros((len(rows), width))
        one = self._exact if width <= EXACT_FEATURES else self._sampled
        for place, row in enumerate(rows):
            parts[place], errors[place] = one(np.asarray(row, np.float64))
        return Explained(adding_up(parts, scores, model=self.name), errors)

    def content(self) -> str:
        """A hash of the model's, the background and the seed."""
        own = getattr(self._model, "content", None)
        told = f"{own() if own else learned_content(self._model)}:{self._seed}:{self._background.shape}".encode()
        return hashlib.sha256(told + self._background.tobytes()).hexdigest()

    def _exact(self, row: Floats) -> tuple[Floats, Floats]:
        """Asks for every set of features: bit i of a set's number is feature i, taken from the row."""
        width = len(row)
        sets = np.arange(2**width)
        given = (sets[:, None] >> np.arange(width)) & 1 == 1
        values = np.concatenate([self._means(row, some) for some in self._slices(given)])
        sizes = given.sum(axis=1)
        shares = np.array([factorial(n) * factorial(width - n - 1) / factorial(width) for n in range(width)])
        parts = np.empty(width + 1)
        for place in range(width):
            without = sets[~given[:, place]]
            added = values[without | (1 << place)] - values[without]
            parts[place] = np.dot(shares[sizes[without]], added)
        parts[-1] = values[0]
        return parts, np.zeros(width)

    def _slices(self, given: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.bool_]]:
        step = max(1, _ASKED_AT_ONCE // len(self._background))
        return (given[start : start + step] for start in range(0, len(given), step))

    def _means(self, row: Floats, given: npt.NDArray[np.bool_]) -> Floats:
        """The mean score over the background with these features from the row: one a set."""
        asked = np.where(given[:, None, :], row, self._background)
        scores = self._model.predict(np.ascontiguousarray(asked.reshape(-1, len(row))))
        means: Floats = np.asarray(scores, np.float64).reshape(len(given), -1).mean(axis=1)
        return means

    def _sampled(self, row: Floats) -> tuple[Floats, Floats]:
        """Walks from each background row to the row, forward and backward through an order of the features."""
        rng = np.random.default_rng(self._seed)
        width = len(row)
        rounds = max(1, -(-_FEWEST_WALKS // len(self._background)))
        starts = np.tile(self._background, (rounds, 1))
        orders = np.argsort(rng.random((len(starts), width)), axis=1)
        found = np.empty((len(starts), width))
        step = max(1, _ASKED_AT_ONCE // (2 * (width + 1)))
        base = 0.0
        for first, last in pairwise([*range(0, len(starts), step), len(starts)]):
            walks = slice(first, last)
            ahead, begun = self._walked(row, starts[walks], orders[walks])
            back, _ = self._walked(row, starts[walks], orders[walks, ::-1])
            found[walks] = (ahead + back) / 2
            base += begun.sum()
        errors = found.std(axis=0, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.full(width, np.nan)
        return np.append(found.mean(axis=0), base / len(starts)), errors

    def _walked(self, row: Floats, starts: Floats, orders: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Walks x features: what each feature added when its turn came; and where each walk began."""
        walks, width = orders.shape
        turns = np.argsort(orders, axis=1)  # when a feature's turn comes
        steps = np.arange(width + 1)[None, :, None]
        asked = np.where(turns[:, None, :] < steps, row, starts[:, None, :])
        scores = np.asarray(self._model.predict(asked.reshape(-1, width)), np.float64).reshape(walks, width + 1)
        return np.take_along_axis(np.diff(scores, axis=1), turns, axis=1), scores[:, 0]
