"""Where a search stands, as a terminal or a notebook shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .search import Trial
from .tune import Tuning

_LAST = 6


@dataclass(frozen=True, slots=True)
class Standing:
    """`share` (0-1) of the budget that is spent, what is left of it in words, and the trials: how many have ended,
    failed and run, the best, and the last few, newest first."""

    phase: str
    share: float
    left: str
    ended: int
    failed: int
    running: int
    metric: str
    best: Trial | None
    last: Sequence[Trial]

    @property
    def line(self) -> str:
        """The standing in a line."""
        best = f", best {self.metric} {value(self.best)} ({self.best.learner})" if self.best else ""
        failed = f" ({self.failed} failed)" if self.failed else ""
        return f"{self.phase}: {self.left}, {self.ended} trials{failed}, {self.running} running{best}"

    def rows(self) -> list[tuple[str, ...]]:
        """The last trials as texts: number, learner, value (the best with a star), rounds, seconds, status."""
        return [
            (
                str(one.number), one.learner, value(one) + (" *" if one is self.best else ""), str(one.rounds),
                f"{one.seconds:.1f}", one.error[:60] if one.status == "failed" else one.status,
            )
            for one in self.last
        ]  # fmt: skip


COLUMNS = ("trial", "learner", "value", "rounds", "seconds", "status")


def standing(tuning: Tuning, *, ends_s: float) -> Standing:
    """Now, of a search whose whole call ends at so many seconds of its clock (never, where a count ends it)."""
    trials = list(tuning.search.trials)  # the search may be appending in another thread
    elapsed_s, most = tuning.clock(), tuning.budget.trials
    share = 0.0 if math.isinf(ends_s) else elapsed_s / ends_s
    if most is not None:
        share = max(share, len(trials) / most)
    of_most = f"{max(0, most - len(trials))} trials left" if most is not None else ""
    left = of_most if math.isinf(ends_s) else f"{max(0.0, ends_s - elapsed_s):.0f} s left"
    usable = [one for one in trials if one.is_ranked]
    best = min(usable, key=lambda one: (tuning.metric.loss(one.value), one.number), default=None)
    return Standing(
        phase=tuning.phase, share=min(1.0, share), left=left, ended=len(trials),
        failed=sum(one.status == "failed" for one in trials), running=tuning.pool.busy, metric=tuning.metric.name,
        best=best, last=trials[: -_LAST - 1 : -1],
    )  # fmt: skip


def value(trial: Trial) -> str:
    """The metric in four places."""
    return f"{trial.value:.4f}" if math.isfinite(trial.value) else "-"
