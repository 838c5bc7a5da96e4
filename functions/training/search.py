"""What to try next: an ask/tell search over several learners that knows no library.

Each learner first runs its starting points, then random ones until a proposer (FLAML's, see
`flaml_search`) takes over from the best so far. Which learner's turn it is follows the estimated cost
for improvement (Wang et al. 2021, FLAML): what gets better cheaply is asked more often. Where the first candidates are
screened (see `screening`), the search begins anew after them, with the best of those as starting points.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import polars as pl

from ..evaluation.metric import Metric
from .learner import Choice, Config, Domain, LogInteger, LogUniform, Space, Uniform

_PATIENT_ASKS = 5  # a local search may repeat itself a few times before it is taken to be finished
_PROMOTED = 2  # of the screened candidates at least, and the best of each learner
_RANDOM_SHARE = 0.02  # of the asks go to any learner, however badly it stands


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration to train; `number` counts the asks of a search from 0. Some are screened on few rows."""

    number: int
    learner: str
    config: Config
    is_screened: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration that was trained; `value` is the metric on validation rows, NaN where it failed.

    `cut` means that time ran out while it still improved; `value` is then that of its best round so far. `screened`
    means that few rows taught it: its value is no match for the others'.
    `fit_seconds` is the part of `seconds` that went into the rounds up to the best.
    """

    number: int
    learner: str
    config: Config
    status: Literal["done", "cut", "screened", "failed"]
    value: float
    rounds: int
    seconds: float
    fit_seconds: float = 0.0
    error: str = ""

    @property
    def is_ranked(self) -> bool:
        """Whether it came to a value that counts."""
        return self.status in ("done", "cut") and math.isfinite(self.value)


class Proposer(Protocol):
    """One learner's search from one starting point."""

    def ask(self, number: int) -> Config | None:
        """The next configuration, or None where it has nothing new."""
        ...

    def tell(self, number: int, loss: float | None) -> None:
        """What an asked configuration came to; None where it failed."""
        ...


ProposerFactory = Callable[[Space, Config, float | None, int], Proposer]
"""Makes a proposer from space, starting point, its loss where known, and a seed."""


def draw(space: Space, rng: np.random.Generator) -> Config:
    """A random configuration of that space."""
    return {name: _draw_one(domain, rng) for name, domain in space.items()}


def _draw_one(domain: Domain, rng: np.random.Generator) -> float | int:
    match domain:
        case Uniform(low, high):
            return float(rng.uniform(low, high))
        case LogUniform(low, high):
            return float(math.exp(rng.uniform(math.log(low), math.log(high))))
        case LogInteger(low, high):
            return round(math.exp(rng.uniform(math.log(low), math.log(high))))
        case Choice(values):
            return values[int(rng.integers(len(values)))]


@dataclass(slots=True)
class _Lane:
    """One learner's side of the search."""

    space: Space
    queue: deque[Config]
    proposer: Proposer | None = None
    proposed: dict[int, Proposer] = field(default_factory=dict)
    best: tuple[float, Config] | None = None
    spent_s: float = 0.0  # in all trials
    best_at_s: float = 0.0  # spent when the best was found
    second_at_s: float = 0.0  # spent when the one before it was found
    gained: float = 0.0  # by the last improvement
    idle_asks: int = 0

    def next_cost_s(self, leader_loss: float) -> float:
        """Estimated seconds until this lane beats the leader."""
        if self.best is None:
            return max(self.spent_s, 1e-3)
        own = max(self.spent_s - self.best_at_s, self.best_at_s - self.second_at_s, 1e-3)
        gap = self.best[0] - leader_loss
        if gap <= 0 or self.gained <= 0:
            return own if gap <= 0 else own + self.spent_s
        return max(own, 2 * gap * max(self.best_at_s - self.second_at_s, 1e-3) / self.gained)

    def note(self, loss: float, config: Config, seconds: float) -> None:
        self.spent_s += seconds
        if math.isfinite(loss) and (self.best is None or loss < self.best[0]):
            self.gained = 0.0 if self.best is None else self.best[0] - loss
            self.best = (loss, config)
            self.second_at_s, self.best_at_s = self.best_at_s, self.spent_s


class Search:
    """Asked for candidates and told what they came to; keeps every trial."""

    def __init__(
        self, spaces: Mapping[str, Space], *, starts: Mapping[str, Sequence[Config]], metric: Metric, seed: int,
        screened: int = 0,
    ) -> None:  # fmt: skip
        self._metric = metric
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._starts = {name: tuple(starts[name]) for name in spaces}
        self._lanes = self._fresh(spaces)
        self._factory: ProposerFactory | None = None
        self._asked = 0
        self._screened = screened
        self._reserve: list[Trial] = []  # screened, and not yet trained on all rows
        self._promoted: list[str] = []  # the learners of those that are
        self.trials: list[Trial] = []

    def use(self, factory: ProposerFactory) -> None:
        """From now on proposers made by this factory take over from starting points and random draws."""
        self._factory = factory

    @property
    def asked(self) -> int:
        """How many candidates were asked for."""
        return self._asked

    def ask(self) -> Candidate:
        """The next candidate; there is always one."""
        number = self._asked
        self._asked += 1
        if 0 < number == self._screened:
            self._lanes = self._fresh({name: lane.space for name, lane in self._lanes.items()})
        if number >= self._screened and (best := self._next_of_reserve()) is not None:
            return Candidate(number, best.learner, best.config)
        name = self._pick()
        lane = self._lanes[name]
        config = self._from_queue(lane) or self._from_proposer(lane, number) or draw(lane.space, self._rng)
        return Candidate(number, name, config, is_screened=number < self._screened)

    def tell(self, trial: Trial) -> None:
        """Takes note of a finished candidate."""
        self.trials.append(trial)
        if trial.number < self._screened:
            self._reserve += [trial] if math.isfinite(trial.value) else []
            if self._asked > self._screened:  # the lanes are those of trials on all rows by now
                return
        lane = self._lanes[trial.learner]
        loss = float("inf") if trial.status == "failed" else self._metric.loss(trial.value)
        lane.note(loss, trial.config, trial.seconds)
        proposer = lane.proposed.pop(trial.number, None)
        if proposer is not None:
            proposer.tell(trial.number, loss if math.isfinite(loss) else None)

    @property
    def ranking(self) -> list[Trial]:
        """The trials that came to a value, best first; the earlier one of two equals."""
        usable = [trial for trial in self.trials if trial.is_ranked]
        return sorted(usable, key=lambda trial: (self._metric.loss(trial.value), trial.number))

    def _fresh(self, spaces: Mapping[str, Space]) -> dict[str, _Lane]:
        return {name: _Lane(space, deque(self._starts[name])) for name, space in spaces.items()}

    def _next_of_reserve(self) -> Trial | None:
        """The best of what was screened: two, the first of each other learner, and more until one on all rows ended."""
        due = self._reserve
        if len(self._promoted) >= _PROMOTED:
            others = [trial for trial in self._reserve if trial.learner not in self._promoted]
            due = others or ([] if any(lane.best for lane in self._lanes.values()) else self._reserve)
        if not due:
            return None
        best = min(due, key=lambda trial: (self._metric.loss(trial.value), trial.number))
        self._reserve.remove(best)
        self._promoted.append(best.learner)
        for lane in self._lanes.values():
            lane.queue.clear()  # the starting points are among those screened
        return best

    def _pick(self) -> str:
        waiting = [name for name, lane in self._lanes.items() if lane.queue]
        if waiting:  # round robin: the learner that has the most starting points left
            return max(waiting, key=lambda name: len(self._lanes[name].queue))
        names = list(self._lanes)
        losses = [lane.best[0] for lane in self._lanes.values() if lane.best]
        leader = min(losses, default=float("inf"))
        speed = np.array([1.0 / self._lanes[name].next_cost_s(leader) for name in names])
        odds = (1 - _RANDOM_SHARE) * speed / speed.sum() + _RANDOM_SHARE / len(names)
        return names[int(self._rng.choice(len(names), p=odds))]

    @staticmethod
    def _from_queue(lane: _Lane) -> Config | None:
        return lane.queue.popleft() if lane.queue else None

    def _from_proposer(self, lane: _Lane, number: int) -> Config | None:
        if self._factory is None or lane.best is None:
            return None
        if lane.proposer is None:
            loss, start = lane.best
            lane.proposer = self._factory(lane.space, start, loss, self._seed + number)
        config = lane.proposer.ask(number)
        if config is not None:
            lane.idle_asks = 0
            lane.proposed[number] = lane.proposer
            return config
        lane.idle_asks += 1
        if lane.idle_asks >= _PATIENT_ASKS:  # converged: begin anew elsewhere
            lane.idle_asks = 0
            start = draw(lane.space, self._rng)
            lane.proposer = self._factory(lane.space, start, None, self._seed + number)
        return None


def leaderboard(trials: Sequence[Trial], *, metric: Metric) -> pl.DataFrame:
    """The trials as a table, best first, then those screened, failures last: rank, learner, value, rounds, seconds,
    status, config."""

    def place(one: Trial) -> tuple[bool, float, int]:
        return not one.is_ranked, metric.loss(one.value) if math.isfinite(one.value) else math.inf, one.number

    ordered = sorted(trials, key=place)
    return pl.DataFrame(
        {
            "rank": list(range(1, len(ordered) + 1)),
            "trial": [t.number for t in ordered],
            "learner": [t.learner for t in ordered],
            metric.name: [t.value if math.isfinite(t.value) else None for t in ordered],
            "rounds": [t.rounds for t in ordered],
            "seconds": [t.seconds for t in ordered],
            "status": [t.status for t in ordered],
            "config": [_written(t.config) for t in ordered],
            "error": [t.error for t in ordered],
        },
        schema_overrides={metric.name: pl.Float64, "seconds": pl.Float64, "rank": pl.Int64, "trial": pl.Int64}
        | {"rounds": pl.Int64, "learner": pl.String, "status": pl.String, "config": pl.String, "error": pl.String},
    )  # fmt: skip


def _written(config: Config) -> str:
    return " ".join(f"{name}={value:.4g}" for name, value in config.items())
