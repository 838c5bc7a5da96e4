"""Logistic and ridge regression as a learner, in numpy: features standardised, nulls at the mean, stored as JSON.

Fitted by Newton's method, each step solved by conjugate gradients (Nash 2000): there is no matrix of features x
features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import orjson

from ...runtime.errors import InputError
from .learner import Config, Fitted, Fold, LogUniform, Rows, Space

Doubles = npt.NDArray[np.float64]

_MOST_STEPS = 50
_CG_STEPS = 30
_CG_SHARE = 0.01  # of the gradient may be left of it by one step
CONVERGED = 1e-5  # of the first gradient
HALVINGS = 20
_AT_ONCE = 65_536  # rows


class LinearLearner:
    """A weight for each feature; the one thing to search is the penalty on the squares of the weights."""

    NAME = "linear"
    SUFFIX = "json"

    def space(self, rows: int) -> Space:
        """`l2`: the penalty on half the squared weights of standardised features, beside the mean loss of a row."""
        return {"l2": LogUniform(1e-6, 10.0)}

    def starts(self, rows: int) -> Sequence[Config]:
        """A middling penalty, then next to none, then a strong one."""
        return ({"l2": 1e-3}, {"l2": 1e-5}, {"l2": 0.1})

    def trainer(self, fold: Fold) -> LinearTrainer:
        """A trainer for that fold."""
        return LinearTrainer(fold)

    def booster(self, data: bytes) -> LinearBooster:
        """The weights from their JSON."""
        return LinearBooster(data)


class LinearTrainer:
    """A round is a Newton step; it goes on until the gradient is gone, whatever the validation rows say."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._taught: _Rows | None = None  # shared by all trials

    def train(self, config: Config, *, limit_s: float, seed: int) -> Fitted:
        """Fits the training rows; `cut` where time was up before the steps had become small."""
        deadline = time.monotonic() + limit_s
        if self._taught is None:
            self._taught = _Rows(self._fold.x_train, self._fold.y_train, logistic=self.is_logistic)
        steps, cut = self._taught.fit(config["l2"], most=_MOST_STEPS, stop=lambda: time.monotonic() >= deadline)
        margins = LinearBooster(self._taught.written()).margins(self._fold.x_valid).astype(np.float32)
        return Fitted(steps, steps, margins=margins, cut=cut)

    def refit(self, config: Config, *, rounds: int, seed: int) -> bytes:
        """At most so many steps on all rows."""
        rows = _Rows(self._fold.x, self._fold.y, logistic=self.is_logistic)
        rows.fit(config["l2"], most=rounds, stop=lambda: False)
        return rows.written()

    @property
    def is_logistic(self) -> bool:
        """Whether the label is a class."""
        return self._fold.task == "classification"


class _Rows:
    """Standardised rows, and the weights last fitted to them; the last weight is the intercept."""

    def __init__(self, x: Rows, y: Rows, *, logistic: bool) -> None:
        known = np.isfinite(x)
        counts = np.maximum(1, known.sum(axis=0))
        self._means: Doubles = np.where(known, x, 0.0).sum(axis=0, dtype=np.float64) / counts
        # One more array of the rows' size, in single precision; nulls are at the mean, which is zero.
        self._z: Rows = np.where(known, x - self._means.astype(np.float32), np.float32(0))
        spread = np.sqrt(np.square(self._z).sum(axis=0, dtype=np.float64) / counts)
        self._spread: Doubles = np.where(spread > 0, spread, 1.0)
        self._z /= self._spread.astype(np.float32)
        self._y = y.astype(np.float64)
        self._logistic = logistic
        self._weights = np.zeros(x.shape[1] + 1)

    def fit(self, l2: float, *, most: int, stop: Callable[[], bool]) -> tuple[int, bool]:
        """Newton steps from nothing; how many, and whether `stop` ended them."""
        self._weights = start(float(self._y.mean()), self._z.shape[1], is_logistic=self._logistic)
        margins = self._times(self._weights)
        penalty = np.append(np.full(self._z.shape[1], l2), 0.0)
        first = 0.0
        for step in range(1, most + 1):
            means = logistic(margins) if self._logistic else margins
            slope = self._back(means - self._y) + penalty * self._weights
            size = float(np.linalg.norm(slope))
            first = first or size
            if step > 1 and size <= CONVERGED * first:
                return step - 1, False
            curves = means * (1 - means) if self._logistic else np.ones_like(means)
            way = self._solved(curves, penalty, slope)
            margins, moved = self._moved(margins, way, penalty)
            if not moved and step > 1:
                return step, False
            if stop():
                return step, True
        return most, False

    def written(self) -> bytes:
        """The weights in the features' own units, as JSON."""
        return written(self._weights, self._means, self._spread)

    def _times(self, weights: Doubles) -> Doubles:
        found: Doubles = (self._z @ weights[:-1].astype(np.float32)).astype(np.float64) + weights[-1]
        return found

    def _back(self, rows: Doubles) -> Doubles:
        """The mean of the features over the rows, each row so heavy."""
        return np.append((rows.astype(np.float32) @ self._z).astype(np.float64), rows.sum()) / len(rows)

    def _solved(self, curves: Doubles, penalty: Doubles, slope: Doubles) -> Doubles:
        """Conjugate gradients for Newton's step, down the slope."""
        way = np.zeros_like(slope)
        left, ahead = -slope, -slope
        size = float(left @ left)
        enough = size * _CG_SHARE**2
        for _ in range(min(_CG_STEPS, len(slope))):
            if size <= enough:
                break
            bent = self._back(curves * self._times(ahead)) + penalty * ahead
            along = float(ahead @ bent)
            if along <= 0:  # flat, to the last digit
                break
            way = way + size / along * ahead
            left = left - size / along * bent
            before, size = size, float(left @ left)
            ahead = left + size / before * ahead
        return way

    def _moved(self, margins: Doubles, way: Doubles, penalty: Doubles) -> tuple[Doubles, bool]:
        """The margins after the step, or after the first half of a half ... of it that lessens the loss."""
        change = self._times(way)
        before, share = self._loss(margins, self._weights, penalty), 1.0
        for _ in range(HALVINGS):
            weights, after = self._weights + share * way, margins + share * change
            if self._loss(after, weights, penalty) < before:
                self._weights = weights
                return after, True
            share /= 2
        return margins, False

    def _loss(self, margins: Doubles, weights: Doubles, penalty: Doubles) -> float:
        off = losses(margins, self._y, is_logistic=self._logistic)
        return float(off.mean() + (penalty * np.square(weights)).sum() / 2)


class LinearBooster:
    """The base value and, for each feature, a weight on what its value is above the mean; a null adds nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        told = orjson.loads(data)
        if not isinstance(told, dict) or told.get("format") != 1:
            raise InputError("the linear model's file is damaged or of another version: save the model again")
        self._weights: Doubles = np.asarray(told["coefficients"], dtype=np.float64)
        self._means: Doubles = np.asarray(told["means"], dtype=np.float64)
        self._base = float(told["base"])

    def __reduce__(self) -> tuple[type[LinearBooster], tuple[bytes]]:
        return LinearBooster, (self._data,)

    @property
    def data(self) -> bytes:
        """Weights, means and base value as JSON."""
        return self._data

    def margins(self, rows: Rows) -> Doubles:
        """One margin a row."""
        out = np.empty(len(rows))
        for begin in range(0, len(rows), _AT_ONCE):
            out[begin : begin + _AT_ONCE] = self._above(rows[begin : begin + _AT_ONCE]) @ self._weights + self._base
        return out

    def contributions(self, rows: Rows) -> Doubles:
        """Exact: weight x (value - mean), the last column the base value, which is the margin of a mean row."""
        return np.column_stack((self._above(rows) * self._weights, np.full(len(rows), self._base)))

    def _above(self, rows: Rows) -> Doubles:
        found: Doubles = np.where(np.isfinite(rows), rows - self._means, 0.0)
        return found


def written(weights: Doubles, means: Doubles, spread: Doubles) -> bytes:
    """The weights of standardised features, the last one the intercept, in the features' own units, as JSON."""
    told = {"format": 1, "coefficients": weights[:-1] / spread, "means": means, "base": float(weights[-1])}
    return orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)


def losses(margins: Doubles, labels: Doubles, *, is_logistic: bool) -> Doubles:
    """What each row's margin costs: the log loss, or half the squared error."""
    out: Doubles = np.logaddexp(0.0, margins) - labels * margins if is_logistic else np.square(margins - labels) / 2
    return out


def start(middle: float, width: int, *, is_logistic: bool) -> Doubles:
    """The weights to begin with: what the mean label tells, and nothing from a feature."""
    known = np.log(middle / (1 - middle)) if is_logistic and 0 < middle < 1 else middle
    return np.append(np.zeros(width), known)


def logistic(margins: Doubles) -> Doubles:
    """The probability of those log-odds."""
    small = np.exp(-np.abs(margins))
    out: Doubles = np.where(margins >= 0, 1.0, small) / (1.0 + small)
    return out


LEARNER = LinearLearner()
