"""Runs a search over a pool of workers until the budget is spent, then fits what it chose on all rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...runtime.errors import EaglerayError
from ..evaluation.metric import Metric
from .budget import Budget
from .ensemble import link, mixed
from .journal import Journal, Told
from .learner import Rows
from .replay import replay
from .screening import Screening
from .search import Candidate, Search, Trial
from .trainer import Job, Outcome, Pool

_FAILURES_IN_A_ROW = 5
_SHORTEST_TRIAL_S = 0.2
_GRACE_S = 1.0  # a trial stops by itself at its limit; one that does not is ended so much later
_LONGEST_WAIT_S = 60.0  # for an outcome, where time does not end the search
_KEPT = 20  # trials whose validation margins are kept for an ensemble


@dataclass(slots=True)
class Tuning:
    """One search under way: the pool does the work, the search decides, the budget ends it.

    `clock` tells the seconds since the budget began to count; `margins` fills with the validation margins of the best
    trials by number, `importance` with what the final fits tell of the features. With a `portion` of the pool's fold
    the search is over its rows only; `screening` says what the first candidates are trained on. What the `journal`
    holds is not trained again, and what ends is written to it.
    """

    pool: Pool
    search: Search
    budget: Budget
    metric: Metric
    labels: Rows
    clock: Callable[[], float]
    members: int = 1
    seed: int = 0
    portion: int | None = None
    screening: Screening | None = None
    journal: Journal | None = None
    importance: dict[int, Rows] = field(default_factory=dict)
    margins: dict[int, Rows] = field(default_factory=dict)
    phase: Literal["search", "final fit"] = "search"

    def run(self, on_trial: Callable[[Trial], None] | None) -> None:
        """Asks, trains and tells until time is up; at least one trial succeeds or `EaglerayError` says why not."""
        asked: dict[int, Candidate] = {}
        unfinished = self._recalled()
        failures = 0
        while True:
            limit_s = self._limit_s()
            while self.pool.idle and limit_s > 0 and self._goes_on(unfinished):
                candidate = unfinished.pop(0) if unfinished else self.search.ask()
                asked[candidate.number] = candidate
                self.pool.submit(self._job(candidate, limit_s))
            done = bool(self.search.ranking)
            if (limit_s <= 0 or not self._goes_on(unfinished)) and self.pool.busy == 0 and done:
                return
            if done and self._left_s() <= -_GRACE_S:
                self.pool.cancel()
                return
            for outcome in self.pool.wait(min(self._left_s() + _GRACE_S, _LONGEST_WAIT_S) if done else 1.0):
                trial = self._judged(asked.pop(outcome.job.number), outcome)
                self.search.tell(trial)
                if self.journal is not None:
                    kept = self.margins.get(trial.number)
                    self.journal.add(Told(trial, self.search.asked, self.clock(), kept))
                failures = failures + 1 if trial.status == "failed" else 0
                if failures >= _FAILURES_IN_A_ROW and not self.search.ranking:
                    raise EaglerayError(f"the first {failures} trials failed, the last one with {trial.error}")
                if on_trial is not None:
                    on_trial(trial)

    def refit(self, chosen: Sequence[int]) -> dict[int, bytes]:
        """The boosters of those trials, fitted on all rows for their best number of rounds, by rank.

        The first is always fitted; another one is where, by what the ones before it took, it will be done in time.
        """
        fitted = self._fits(chosen, None)
        self.importance = {n: one.importance for n, one in fitted.items() if one.importance is not None}
        return {number: outcome.booster for number, outcome in fitted.items()}

    def held(self, shares: Mapping[int, float]) -> Rows:
        """The mean margins of those trials, by their weights, for the rows that the portion holds out, fitted on the
        portion's rows."""
        fitted = self._fits(list(shares), self.portion)
        return mixed({number: one.held for number, one in fitted.items() if one.held is not None}, shares)

    def _fits(self, chosen: Sequence[int], portion: int | None) -> dict[int, Outcome]:
        self.phase = "final fit"
        trials = {trial.number: trial for trial in self.search.trials}
        waiting = list(chosen)
        fitted: dict[int, Outcome] = {}
        failed: list[int] = []
        pace = 1.0  # what fits take, over what was foretold: on quiet cores less

        def next_is_affordable() -> bool:
            if not waiting or waiting[0] == chosen[0]:
                return bool(waiting)
            foretold_s = self.budget.refit_s(trials[waiting[0]].fit_seconds)
            return foretold_s * pace <= self.budget.total_s - self.budget.closing_s - self.clock()

        while self.pool.busy or next_is_affordable():
            while self.pool.idle and next_is_affordable():
                trial = trials[waiting.pop(0)]
                self.pool.submit(
                    Job(trial.number, trial.learner, trial.config, self.seed, rounds=trial.rounds, portion=portion)
                )
            for outcome in self.pool.wait(1.0):
                number = outcome.job.number
                if outcome.booster:
                    fitted[number] = outcome
                    foretold_s = self.budget.refit_s(trials[number].fit_seconds)
                    pace = min(1.0, outcome.seconds / max(foretold_s, 1e-3))
                elif number == chosen[0] and number in failed:
                    raise EaglerayError(f"the final fit failed twice: {outcome.error}")
                elif number == chosen[0]:
                    waiting.insert(0, number)
                failed += [] if outcome.booster else [number]
        return {number: fitted[number] for number in chosen if number in fitted}

    def _recalled(self) -> list[Candidate]:
        """Takes over what the journal holds; the candidates that were under way when it ended."""
        told = self.journal.told if self.journal is not None else []
        unfinished = replay(self.search, told)
        for one in told:
            if one.margins is not None:
                self._keep(one.margins, one.trial.number, one.trial.value)
        return unfinished

    def _job(self, candidate: Candidate, limit_s: float) -> Job:
        portion = self.portion
        if self.screening is not None and candidate.is_screened:
            portion, limit_s = self.screening.place, min(limit_s, self.screening.limit_s)
        return Job(candidate.number, candidate.learner, candidate.config, self.seed, limit_s, portion=portion)

    def _judged(self, candidate: Candidate, outcome: Outcome) -> Trial:
        value, rounds, share = float("nan"), 0, 0.0
        status: Literal["done", "cut", "screened", "failed"] = "failed"
        error, seconds = outcome.error, 0.0 if self.budget.round_s else outcome.seconds
        if outcome.fitted is not None:
            rounds = outcome.fitted.rounds
            if self.budget.round_s:
                seconds = outcome.fitted.trained * self.budget.round_s
            value = self.metric.compute(self.labels, link(outcome.fitted.margins, self.metric.task))
            if rounds > 0 and math.isfinite(value):
                status = "screened" if candidate.is_screened else "cut" if outcome.fitted.cut else "done"
                share = rounds / outcome.fitted.trained
                if not candidate.is_screened:
                    self._keep(outcome.fitted.margins, candidate.number, value)
            else:
                value, error = float("nan"), "it learned nothing in its time"
        return Trial(
            number=candidate.number, learner=candidate.learner, config=candidate.config, status=status, value=value,
            rounds=rounds, seconds=seconds, fit_seconds=seconds * share, error=error,
        )  # fmt: skip

    def _keep(self, margins: Rows, number: int, value: float) -> None:
        self.margins[number] = margins
        if len(self.margins) > _KEPT:
            values = {trial.number: trial.value for trial in self.search.trials} | {number: value}
            worst = max(self.margins, key=lambda kept: (self.metric.loss(values[kept]), kept))
            del self.margins[worst]

    def _limit_s(self) -> float:
        """Seconds for the next trial; zero where there is no time for one. Before the first success there is."""
        if not self.search.ranking:
            return max(self.budget.limit_s(self.clock(), best_seconds=0.0), 1.0)
        limit_s = self.budget.limit_s(self.clock(), best_seconds=self._wall_s(self._best_seconds()))
        return limit_s if limit_s >= _SHORTEST_TRIAL_S else 0.0

    def _goes_on(self, unfinished: Sequence[Candidate]) -> bool:
        """Whether there may be one more trial, time or not."""
        most = self.budget.trials
        return bool(unfinished) or most is None or self.search.asked < most or not self.search.ranking

    def _left_s(self) -> float:
        """Until the final fit of the best so far must begin."""
        reserve_s = self._refit_s(self._best_seconds())
        return self.budget.total_s - self.budget.closing_s - reserve_s - self.clock()

    def _best_seconds(self) -> list[float]:
        return [trial.fit_seconds for trial in self.search.ranking[: self.members]]

    def _refit_s(self, seconds: Sequence[float]) -> float:
        return self.budget.refit_s(self._wall_s(seconds))

    def _wall_s(self, seconds: Sequence[float]) -> float:
        """How long trials of so many seconds take side by side."""
        return max(max(seconds, default=0.0), sum(seconds) / self.pool.workers)
