"""Logistic and ridge regression fitted on rows that memory does not hold: sums over all rows, a pass a Newton step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .learner import Config, Trainer
from .linear_model import CONVERGED, HALVINGS, Doubles, LinearTrainer, logistic, losses, start, written
from .spilled import Spilled

HOW = "Newton's steps over the disk"
_PASS_SHARE = 4  # of a page at once: it is held as doubles, raw and standardised


def kept_bytes(rows: int, width: int) -> int:  # noqa: ARG001 - as the port has it
    """The curvature, features x features in doubles: summed, of a block, and solved."""
    return 3 * 8 * (width + 1) ** 2


def refit(rows: Spilled, trainer: Trainer, config: Config, *, rounds: int, seed: int) -> bytes:  # noqa: ARG001 - as the port has it
    """At most so many Newton steps over all rows, from the first weights until the gradient is gone; JSON.

    The loss is convex, so this ends where the steps in memory end. Reads the rows twice to standardise them, then once
    a step. Memory holds a quarter of a page as doubles.
    """
    assert isinstance(trainer, LinearTrainer)
    scale = _scale(rows)
    first = start(scale.middle, rows.width, is_logistic=trainer.is_logistic)
    penalty = np.append(np.full(rows.width, config["l2"]), 0.0)
    here = _summed(rows, scale, first, penalty, is_logistic=trainer.is_logistic)
    enough = CONVERGED * float(np.linalg.norm(here.slope))
    for _ in range(rounds):
        if float(np.linalg.norm(here.slope)) <= enough:
            break
        way = np.linalg.solve(here.curvature, -here.slope)
        for halvings in range(HALVINGS):
            weights = here.weights + way / 2**halvings
            there = _summed(rows, scale, weights, penalty, is_logistic=trainer.is_logistic)
            if there.loss < here.loss:
                break
        else:
            break  # lower than this rounding does not let it go
        here = there
    return written(here.weights, scale.means, scale.spread)


@dataclass(frozen=True, slots=True)
class _Scale:
    """What standardises the features, and the mean label."""

    means: Doubles
    spread: Doubles
    middle: float


@dataclass(frozen=True, slots=True)
class _Summed:
    """The mean loss at those weights, its slope and its curvature, the penalty among them."""

    weights: Doubles
    loss: float
    slope: Doubles
    curvature: Doubles


def _scale(rows: Spilled) -> _Scale:
    counts, sums = np.zeros(rows.width), np.zeros(rows.width)
    for x in _blocks(rows):
        counts += np.isfinite(x).sum(axis=0)
        sums += np.nansum(x, axis=0)
    counts = np.maximum(1, counts)
    means = sums / counts
    squares = np.zeros(rows.width)
    for x in _blocks(rows):
        squares += np.nansum(np.square(x - means), axis=0)
    spread = np.sqrt(squares / counts)
    return _Scale(means, np.where(spread > 0, spread, 1.0), float(rows.y().mean(dtype=np.float64)))


def _summed(rows: Spilled, scale: _Scale, weights: Doubles, penalty: Doubles, *, is_logistic: bool) -> _Summed:
    loss, slope = 0.0, np.zeros_like(weights)
    curvature = np.zeros((len(weights), len(weights)))
    for (begin, end), x in zip(_slices(rows), _blocks(rows), strict=True):
        y = rows.y(begin, end).astype(np.float64)
        z = np.column_stack((np.nan_to_num((x - scale.means) / scale.spread, nan=0.0), np.ones(len(x))))
        margins = z @ weights
        loss += float(losses(margins, y, is_logistic=is_logistic).sum())
        told = logistic(margins) if is_logistic else margins
        slope += (told - y) @ z
        curvature += (z.T * (told * (1 - told))) @ z if is_logistic else z.T @ z
    return _Summed(
        weights,
        loss / rows.rows + float((penalty * np.square(weights)).sum()) / 2,
        slope / rows.rows + penalty * weights,
        curvature / rows.rows + np.diag(penalty),
    )


def _slices(rows: Spilled) -> Iterator[tuple[int, int]]:
    return rows.slices(max(1, rows.page_rows // _PASS_SHARE))


def _blocks(rows: Spilled) -> Iterator[Doubles]:
    return (rows.x(*block).astype(np.float64) for block in _slices(rows))
