"""Probabilities that come true as often as they say: a monotone curve from margins to log-odds.

Platt's curve is a straight line (Platt 1999, with his targets). The isotonic one is that of the pooled
adjacent violators (Ayer 1955), drawn through the middles of their blocks as in centred isotonic regression
(Oron and Flournoy 2017) and going on beyond the ends, so that it rises everywhere: it never makes
ties, and every measure of the order (AUC, average precision, the first 100) stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ...runtime.errors import InputError
from .metric import log_loss

Doubles = npt.NDArray[np.float64]
Method = Literal["auto", "platt", "isotonic", "none"]

METHODS: tuple[Method, ...] = get_args(Method)

_FEWEST = 20  # of each class for Platt's two numbers
_FEWEST_ISOTONIC = 200  # of each class for a curve of many
_TINY_SLOPE = 1e-6
_STEPS = 100
_MOST_MARGINS = 5_000  # of more rows a curve cannot tell more


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising curve from margins to log-odds: straight between the knots, with `slope` beyond them.

    `margins` and `log_odds` are the knots, both rising; one knot makes a straight line. Raises `InputError`.
    """

    method: str
    margins: tuple[float, ...]
    log_odds: tuple[float, ...]
    slope: float
    _x: Doubles = field(init=False, repr=False, compare=False)
    _y: Doubles = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        x, y = np.array(self.margins, dtype=np.float64), np.array(self.log_odds, dtype=np.float64)
        rises = len(x) == len(y) > 0 and bool((np.diff(x) > 0).all() and (np.diff(y) > 0).all())
        if not (rises and self.slope > 0 and np.isfinite([*x, *y, self.slope]).all()):
            raise InputError(
                "a calibration must rise: give as many margins as log-odds, both rising, and a slope above 0"
            )
        object.__setattr__(self, "_x", x)
        object.__setattr__(self, "_y", y)

    def apply(self, margins: npt.NDArray[np.floating]) -> Doubles:
        """The log-odds for those margins; rises with them, everywhere."""
        first, last = self.margins[0], self.margins[-1]
        if len(self.margins) == 1:
            line: Doubles = np.add(self.log_odds[0], self.slope * (margins - first), dtype=np.float64)
            return line
        inside = np.minimum(np.maximum(margins, first), last)  # on single rows much faster than np.clip
        out: Doubles = np.interp(inside, self._x, self._y) + self.slope * (margins - inside)
        return out

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; `from_dict` gives the same curve to the bit."""
        return {"method": self.method, "margins": list(self.margins), "log_odds": list(self.log_odds),
                "slope": self.slope}  # fmt: skip

    @classmethod
    def from_dict(cls, card: Mapping[str, object]) -> Calibration:
        """The curve that `to_dict` wrote; raises `InputError`, `KeyError` or `TypeError` for anything else."""
        margins, log_odds, slope = card["margins"], card["log_odds"], card["slope"]
        if not isinstance(margins, list) or not isinstance(log_odds, list) or not isinstance(slope, float):
            raise TypeError("a calibration holds lists of numbers")
        return cls(str(card["method"]), tuple(margins), tuple(log_odds), slope)


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities are from what happens: Brier score, expected calibration error, log loss; best is 0."""

    brier: float
    ece: float
    log_loss: float


def reliability(labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> Reliability:
    """Measured on rows that made neither model nor calibration."""
    mean, rate, rows = reliability_curve(labels, scores)
    ece = float(np.dot(rows, np.abs(mean - rate)) / max(1, rows.sum()))
    return Reliability(float(np.mean(np.square(labels - scores.astype(np.float64)))), ece, log_loss(labels, scores))


def reliability_curve(
    labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], bins: int = 10
) -> tuple[Doubles, Doubles, Doubles]:
    """Mean score, share of positives and rows in each of `bins` bins of equally many rows (equal scores together)."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, scores, side="left")
    rows = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    used = rows > 0
    mean = np.bincount(place, weights=scores, minlength=len(rows))[used] / rows[used]
    rate = np.bincount(place, weights=labels, minlength=len(rows))[used] / rows[used]
    return mean, rate, rows[used]


def platt(margins: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> Calibration | None:
    """The likeliest straight line, with Platt's smoothed targets; None where it does not rise."""
    m, right, rows = _gathered(margins, labels)
    hits = float(right.sum())
    misses = float(rows.sum()) - hits
    # The mean target of rows that share a margin.
    targets = (right * ((hits + 1) / (hits + 2)) + (rows - right) / (misses + 2)) / rows
    middle = float(np.average(m, weights=rows))
    scale = float(np.average(np.square(m - middle), weights=rows)) ** 0.5 or 1.0
    z = np.column_stack(((m - middle) / scale, np.ones(len(m))))
    line = np.array([0.0, np.log((hits + 1) / (misses + 1))])

    def cost(at: Doubles) -> float:
        odds = z @ at
        return float(np.dot(rows, np.logaddexp(0, odds) - targets * odds))

    loss = cost(line)
    for _ in range(_STEPS):  # Newton's method; a step that helps nothing is halved (Lin, Lin and Weng 2007)
        p = _logistic(z @ line)
        gradient = z.T @ (rows * (p - targets))
        if np.abs(gradient).max() < 1e-9 * len(labels):
            break
        step = np.linalg.solve(z.T @ (z * (rows * p * (1 - p))[:, None]) + 1e-12 * np.eye(2), gradient)
        size = 1.0
        while (found := cost(line - size * step)) > loss and size > 1e-10:
            size /= 2
        line, loss = line - size * step, found
    slope = float(line[0]) / scale
    if not np.isfinite(line).all() or slope < _TINY_SLOPE:
        return None
    return Calibration("platt", (middle,), (float(line[1]),), slope)


def isotonic(margins: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> Calibration | None:
    """The monotone curve nearest to the labels; None where it would have fewer than two blocks."""
    line = platt(margins, labels)
    middle, value, _ = blocks(margins, labels)
    if line is None or len(value) < 2:
        return None
    sure = 1 / (2 * (len(labels) + 1))  # nothing is certain: only the outermost blocks can be 0 or 1
    p = np.clip(value, sure, 1 - sure)
    return Calibration("isotonic", tuple(middle.tolist()), tuple(np.log(p / (1 - p)).tolist()), line.slope)


def blocks(margins: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> tuple[Doubles, Doubles, Doubles]:
    """Mean margin, mean label and rows of the blocks that pooling adjacent violators leaves, in rising order."""
    x, sums, rows = _gathered(margins, labels)
    kept: list[tuple[float, float, float]] = []  # rows, sum of labels, sum of margins
    for count, total, at in zip(rows.tolist(), sums.tolist(), (x * rows).tolist(), strict=True):
        while kept and kept[-1][1] * count >= total * kept[-1][0]:
            before = kept.pop()
            count, total, at = count + before[0], total + before[1], at + before[2]
        kept.append((count, total, at))
    n, s, m = np.array(kept).T
    return m / n, s / n, n


def _gathered(margins: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> tuple[Doubles, Doubles, Doubles]:
    """Each margin once in rising order, its sum of labels and its rows; neighbours together where there are many."""
    x, place = np.unique(margins.astype(np.float64), return_inverse=True)
    rows = np.bincount(place).astype(np.float64)
    sums = np.bincount(place, weights=labels).astype(np.float64)
    if len(x) <= _MOST_MARGINS:
        return x, sums, rows
    edges = np.unique(np.searchsorted(np.cumsum(rows), np.linspace(0, rows.sum(), _MOST_MARGINS + 1)[:-1]))
    total = np.add.reduceat(rows, edges)
    return np.add.reduceat(x * rows, edges) / total, np.add.reduceat(sums, edges), total


_MAKERS = {"platt": platt, "isotonic": isotonic}


def calibrate(
    margins: npt.NDArray[np.floating], labels: npt.NDArray[np.floating], parts: npt.NDArray[np.int64], method: Method
) -> tuple[Calibration | None, Doubles]:
    """A calibration from rows the model was not fitted on, and the margins calibrated by curves that did not see them.

    `parts` numbers the rows' parts: for each part the curve is fitted on the others, so that what is measured on the
    second result is honest. "auto" takes whichever has the least log loss so, nothing included. None where nothing
    helps or there are too few rows of a class.
    """
    if method not in METHODS:
        raise InputError(f"no calibration {method!r}: {', '.join(map(repr, METHODS))}")
    plain = margins.astype(np.float64)
    fewest = int(min((labels > 0.5).sum(), (labels <= 0.5).sum()))
    names: Sequence[str] = tuple(_MAKERS) if method == "auto" else (method,) if method in _MAKERS else ()
    best, found, least = None, plain, log_loss(labels, _logistic(plain)) if method == "auto" else np.inf
    for name in names:
        if fewest < (_FEWEST_ISOTONIC if name == "isotonic" and method == "auto" else _FEWEST):
            continue
        made, crossed = _MAKERS[name](plain, labels), _crossed(plain, labels, parts, name)
        if made is not None and crossed is not None and (loss := log_loss(labels, _logistic(crossed))) < least:
            best, found, least = made, crossed, loss
    return best, found


def _crossed(
    margins: Doubles, labels: npt.NDArray[np.floating], parts: npt.NDArray[np.int64], name: str
) -> Doubles | None:
    out = np.empty(len(margins))
    for part in np.unique(parts):
        here = parts == part
        if len(np.unique(labels[~here] > 0.5)) < 2 or (made := _MAKERS[name](margins[~here], labels[~here])) is None:
            return None
        out[here] = made.apply(margins[here])
    return out


def _logistic(margins: Doubles) -> Doubles:
    small = np.exp(-np.abs(margins))
    out: Doubles = np.where(margins >= 0, 1.0, small) / (1.0 + small)
    return out
