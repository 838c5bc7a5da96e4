"""The learner port: what a model family offers to the search and to serving.

A learner describes its search space in the plain nouns below, trains inside a worker process and
gives back bytes in its library's own format. Features are read as float32 everywhere, in training and
in serving, so that a value falls on the same side of a split in both.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...runtime.errors import DefinitionError, did_you_mean
from ..evaluation.metric import Task, metric

Rows = npt.NDArray[np.float32]
Config = Mapping[str, float | int]


@dataclass(frozen=True, slots=True)
class Uniform:
    """A real number between low and high."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LogUniform:
    """A real number between low and high whose logarithm is uniform."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LogInteger:
    """A whole number between low and high, both included, whose logarithm is uniform."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some numbers, in rising order."""

    values: tuple[int, ...]


Domain = Uniform | LogUniform | LogInteger | Choice
Space = Mapping[str, Domain]


@dataclass(frozen=True, slots=True)
class Fold:
    """A table split for training: rows x features, the first `train_rows` of them to learn from.

    In ranking `queries` numbers the query of each row, else it is None.
    """

    x: Rows
    y: Rows
    train_rows: int
    task: Task
    metric: str
    queries: npt.NDArray[np.int64] | None = None

    @property
    def queries_valid(self) -> npt.NDArray[np.int64] | None:
        """The queries of the rows to judge by (a view)."""
        return None if self.queries is None else self.queries[self.train_rows :]

    @property
    def x_train(self) -> Rows:
        """The rows to learn from (a view)."""
        return self.x[: self.train_rows]

    @property
    def x_valid(self) -> Rows:
        """The rows to judge by (a view)."""
        return self.x[self.train_rows :]

    @property
    def y_train(self) -> Rows:
        """The labels to learn from (a view)."""
        return self.y[: self.train_rows]

    @property
    def y_valid(self) -> Rows:
        """The labels to judge by (a view)."""
        return self.y[self.train_rows :]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What one training came to: its best round of so many `trained`, the validation margins there, and
    whether time cut it."""

    rounds: int
    trained: int
    margins: Rows
    cut: bool


class Trainer(Protocol):
    """One learner at work on one fold; keeps what trials can share (binned data per max_bin)."""

    def train(self, config: Config, *, limit_s: float, seed: int) -> Fitted:
        """Fits the training rows, stopping early on the validation rows or after `limit_s` seconds."""
        ...

    def refit(self, config: Config, *, rounds: int, seed: int) -> bytes:
        """Fits all rows for so many rounds; the booster in its library's own format."""
        ...


class Booster(Protocol):
    """A fitted model: rows x features in, margins (log-odds, or the value in regression) out."""

    @property
    def data(self) -> bytes:
        """The booster in its library's own format."""
        ...

    def margins(self, rows: Rows) -> npt.NDArray[np.floating]:
        """One margin a row."""
        ...

    def contributions(self, rows: Rows) -> npt.NDArray[np.floating]:
        """Rows x (features + 1), the last column the base value; a row adds up to its margin.

        Raises `InputError` where the family has none.
        """
        ...


class Learner(Protocol):
    """A model family by name. `automl.fit` takes objects of one's own, which travel to the workers by pickle.

    `NAME` and `SUFFIX` (of its file, without the dot) are of small letters, digits and `_`.
    """

    NAME: str
    SUFFIX: str

    def space(self, rows: int) -> Space:
        """What to search over for a table of so many training rows."""
        ...

    def starts(self, rows: int) -> Sequence[Config]:
        """Configurations to begin with, the cheapest first."""
        ...

    def trainer(self, fold: Fold) -> Trainer:
        """A trainer for that fold; loads the library."""
        ...

    def booster(self, data: bytes) -> Booster:
        """A booster read from its bytes; the library is loaded when it is first used."""
        ...


LEARNERS: Mapping[str, str] = {
    "xgboost": "xgboost_model", "lightgbm": "lightgbm_model", "linear": "linear_model",
    "forest": "lightgbm_forest:FOREST", "extra_trees": "lightgbm_forest:EXTRA_TREES",
}  # fmt: skip
# Each learner first has its three starting points tried. Where a trial takes ten seconds and more, as on the fraud
# table, that is most of the budget, and boosters win there; so the others are tried where trials are many, or by name.
_BOOSTERS = ("xgboost", "lightgbm")
_MANY_TRIALS = 100


def usual_learners(trials: float) -> Sequence[str]:
    """Which to try where none are named, and so many trials of a booster fit into the budget."""
    return tuple(LEARNERS) if trials >= _MANY_TRIALS else _BOOSTERS


def learner(name: str) -> Learner:
    """The learner of that name; raises `DefinitionError` that suggests the nearest one."""
    if name not in LEARNERS:
        raise DefinitionError(f"no learner {name!r}{did_you_mean(name, LEARNERS)}")
    module, _, place = LEARNERS[name].partition(":")
    loaded: Learner = getattr(importlib.import_module(f".{module}", __package__), place or "LEARNER")
    return loaded


def by_name(learners: Iterable[str | Learner]) -> dict[str, Learner]:
    """The learners by their names: named ones of ours, or objects of the port `Learner`; raises `DefinitionError`."""
    found: dict[str, Learner] = {}
    for one in learners:
        made = learner(one) if isinstance(one, str) else _own(one)
        if made.NAME in found:
            raise DefinitionError(f"two learners are called {made.NAME!r}: give each a name of its own")
        found[made.NAME] = made
    return found


def _own(one: Learner) -> Learner:
    kind = one.__name__ if isinstance(one, type) else type(one).__name__
    if isinstance(one, type):
        raise DefinitionError(f"learner {kind} is a class: give an object of it, {kind}()")
    lacking = [name for name in ("space", "starts", "trainer", "booster") if not callable(getattr(one, name, None))]
    if lacking:
        raise DefinitionError(f"learner {kind} has no method {', '.join(lacking)}: see eagleray's port Learner")
    for name in ("NAME", "SUFFIX"):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(getattr(one, name, ""))):
            raise DefinitionError(f"learner {kind} needs a {name} of small letters, digits and _, a letter first")
    if one.NAME in LEARNERS:
        raise DefinitionError(f"learner {kind} is called {one.NAME!r}, as one of ours is: give it another NAME")
    return one


class Patience:
    """Says when boosting should stop: no better value for so many rounds, or time is up."""

    __slots__ = ("_clock", "_compute", "_deadline", "_loss", "_rounds", "best_round", "best_value", "cut", "trained")

    def __init__(self, fold: Fold, *, rounds: int, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        judge = metric(fold.metric).of_queries(fold.queries_valid)
        self._compute = judge.compute
        self._loss = judge.loss
        self._rounds = rounds
        self._clock = clock
        self._deadline = clock() + limit_s
        self.best_round = self.trained = 0
        self.best_value = float("inf")
        self.cut = False

    @property
    def is_over(self) -> bool:
        """Whether time is up."""
        return self._clock() >= self._deadline

    def after_round(self, number: int, labels: Rows, scores: Rows) -> bool:
        """Takes note of round `number` (from 1); True means stop."""
        self.trained = number
        loss = self._loss(self._compute(labels, scores))
        if loss < self.best_value:
            self.best_value, self.best_round = loss, number
        self.cut = self.is_over
        return self.cut or number - self.best_round >= self._rounds
