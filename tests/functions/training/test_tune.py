"""The budget, and the loop that keeps it, on a clock of the test's own."""

from __future__ import annotations

import pytest

from eagleray.functions.evaluation.metric import metric
from eagleray.functions.training.budget import Budget
from eagleray.functions.training.learner import Fitted, Fold, learner
from eagleray.functions.training.search import Search, Trial
from eagleray.functions.training.trainer import Bench, Job, LocalPool, Outcome
from eagleray.functions.training.tune import Tuning
from eagleray.runtime.errors import EaglerayError

METRIC = metric("average_precision")


def test_a_trial_may_take_what_leaves_time_for_its_own_final_fit() -> None:
    budget = Budget(total_s=100, closing_s=1, growth=1.25)
    limit_s = budget.limit_s(9, best_seconds=0)
    assert limit_s + budget.refit_s(limit_s) == pytest.approx(90)


def test_a_trial_may_not_take_the_time_the_best_needs() -> None:
    budget = Budget(total_s=100, closing_s=0, growth=1.0)
    assert budget.limit_s(50, best_seconds=40) == pytest.approx(10)
    assert budget.limit_s(70, best_seconds=40) < 0


class SimulatedPool:
    """Two workers on a simulated clock: a trial takes 3 s, a final fit 2 s, and what is told goes wrong."""

    workers = 2
    forgives = True  # a final fit that failed works the next time

    def __init__(self, fold: Fold, *, fails: frozenset[int] = frozenset(), hangs: frozenset[int] = frozenset()) -> None:
        self.fold, self.now, self.fails, self.hangs = fold, 0.0, fails, hangs
        self.running: list[tuple[float, Job]] = []
        self.jobs: list[Job] = []
        self.cancelled = 0

    @property
    def idle(self) -> int:
        return self.workers - len(self.running)

    @property
    def busy(self) -> int:
        return len(self.running)

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        takes_s = 2.0 if job.rounds else min(3.0, job.limit_s)
        self.running.append((self.now + (1e9 if job.number in self.hangs else takes_s), job))

    def wait(self, timeout_s: float) -> list[Outcome]:
        end = min((end for end, _ in self.running), default=float("inf"))
        if end > self.now + timeout_s:
            self.now += timeout_s
            return []
        self.now = end
        done = [job for ends, job in self.running if ends <= end]
        self.running = [pair for pair in self.running if pair[0] > end]
        return [self._outcome(job) for job in done]

    def _outcome(self, job: Job) -> Outcome:
        if job.number in self.fails:
            self.fails -= {job.number} if job.rounds and self.forgives else frozenset()
            return Outcome(job, 1.0, error="ValueError: no luck")
        if job.rounds:
            return Outcome(job, 2.0, booster=f"booster {job.number}".encode())
        quality = 0.1 * (job.number % 7)
        margins = self.fold.y_valid * quality + self.fold.x_valid[:, 3] * 0.2
        return Outcome(job, 3.0, fitted=Fitted(10 + job.number, 10 + job.number, margins, False))

    def cancel(self) -> None:
        self.cancelled += len(self.running)
        self.running = []

    def close(self) -> None:
        self.cancel()


def tuning(pool: SimulatedPool | LocalPool, fold: Fold, total_s: float, members: int = 1) -> Tuning:
    names = ("xgboost", "lightgbm")
    search = Search(
        {name: learner(name).space(1600) for name in names},
        starts={name: learner(name).starts(1600) for name in names},
        metric=METRIC, seed=0,
    )  # fmt: skip
    return Tuning(
        pool=pool, search=search, budget=Budget(total_s, closing_s=1.0, growth=1.25), metric=METRIC,
        labels=fold.y_valid, clock=lambda: getattr(pool, "now", 0.0), members=members,
    )  # fmt: skip


@pytest.mark.parametrize("total_s", [20.0, 60.0, 100.0])
def test_search_and_final_fit_end_inside_the_budget_and_use_it(fold: Fold, total_s: float) -> None:
    pool = SimulatedPool(fold)
    one = tuning(pool, fold, total_s, members=3)
    seen: list[Trial] = []
    one.run(seen.append)
    boosters = one.refit([trial.number for trial in one.search.ranking[:3]])
    assert 0.7 * total_s < pool.now <= total_s - 1.0
    assert len(boosters) == 3
    assert seen == one.search.trials
    assert pool.jobs[-1].rounds == 10 + pool.jobs[-1].number


def test_a_trial_that_hangs_is_ended_so_that_the_final_fit_is_in_time(fold: Fold) -> None:
    pool = SimulatedPool(fold, hangs=frozenset({3}))
    one = tuning(pool, fold, 30.0)
    one.run(None)
    one.refit([one.search.ranking[0].number])
    assert pool.cancelled == 1
    assert pool.now <= 30.0 + 1.0


def test_a_budget_too_short_for_anything_still_gives_one_trial(fold: Fold) -> None:
    pool = SimulatedPool(fold)
    one = tuning(pool, fold, 0.1)
    one.run(None)
    assert len(one.search.ranking) >= 1


def test_members_are_left_out_where_time_is_short_but_never_the_best(fold: Fold) -> None:
    pool = SimulatedPool(fold)
    one = tuning(pool, fold, 20.0)
    one.run(None)
    ranked = [trial.number for trial in one.search.ranking[:3]]
    pool.now = 19.5
    assert list(one.refit(ranked)) == ranked[:1]


def test_a_member_is_fitted_after_all_where_the_first_was_quicker_than_foretold(fold: Fold) -> None:
    pool = SimulatedPool(fold)
    one = tuning(pool, fold, 20.0)
    one.run(None)
    ranked = [trial.number for trial in one.search.ranking[:2]]
    one.budget = Budget(20.5, closing_s=1.0, growth=1.5)
    pool.now = 16.0  # 3.5 s are left; a fit is foretold to take 3 x 1.5 and takes 2
    assert list(one.refit(ranked)) == ranked[:1]
    pool.now = 15.0
    assert list(one.refit(ranked)) == ranked


def test_failed_trials_are_kept_in_the_record(fold: Fold) -> None:
    pool = SimulatedPool(fold, fails=frozenset({0, 2}))
    one = tuning(pool, fold, 30.0)
    one.run(None)
    assert [t.number for t in one.search.trials if t.status == "failed"] == [0, 2]
    assert all(t.error == "ValueError: no luck" for t in one.search.trials if t.status == "failed")


def test_a_search_whose_first_trials_all_fail_gives_up_and_says_why(fold: Fold) -> None:
    with pytest.raises(EaglerayError, match="first 5 trials failed, the last one with ValueError: no luck"):
        tuning(SimulatedPool(fold, fails=frozenset(range(99))), fold, 30.0).run(None)


def test_a_final_fit_that_fails_once_is_tried_again_if_it_is_the_bests(fold: Fold) -> None:
    pool = SimulatedPool(fold)
    one = tuning(pool, fold, 60.0, members=2)
    one.run(None)
    best, second = (trial.number for trial in one.search.ranking[:2])
    pool.fails = frozenset({best, second})
    assert one.refit([best, second]) == {best: f"booster {best}".encode()}


def test_a_final_fit_that_fails_twice_says_why(fold: Fold) -> None:
    pool = SimulatedPool(fold)
    one = tuning(pool, fold, 30.0)
    one.run(None)
    pool.fails, pool.forgives = frozenset({one.search.ranking[0].number}), False
    with pytest.raises(EaglerayError, match="final fit failed twice: ValueError: no luck"):
        one.refit([one.search.ranking[0].number])


def test_only_the_margins_of_the_best_are_kept(fold: Fold) -> None:
    pool = SimulatedPool(fold)
    one = tuning(pool, fold, 100.0)
    one.run(None)
    assert len(one.search.trials) > 20 == len(one.margins)
    assert {trial.number for trial in one.search.ranking[:5]} <= set(one.margins)


def test_a_local_pool_trains_for_real(fold: Fold) -> None:
    pool = LocalPool(fold)
    one = tuning(pool, fold, 2.0)
    ticks = iter(range(100))
    one.clock = lambda: next(ticks) * 0.05
    one.run(None)
    best = one.search.ranking[0]
    assert best.value > 0.6
    data = one.refit([best.number])[best.number]
    assert learner(best.learner).booster(data).margins(fold.x).shape == (2000,)


def test_a_job_a_library_refuses_is_a_failed_outcome(fold: Fold) -> None:
    pool = LocalPool(fold)
    pool.submit(Job(0, "xgboost", {"max_bin": 256, "learning_rate": 0.1, "max_leaves": -5}, seed=0, limit_s=1.0))
    assert pool.idle == 0
    (outcome,) = pool.wait(1.0)
    assert outcome.error.startswith("XGBoostError")
    assert pool.wait(0.0) == []


def test_a_bench_keeps_one_trainer_a_learner(fold: Fold) -> None:
    bench = Bench(fold)
    bench.warm_up(["xgboost", "lightgbm"])
    config = learner("lightgbm").starts(1600)[0]
    outcome = bench.run(Job(1, "lightgbm", config, seed=0, limit_s=5.0), clock=iter([1.0, 4.0]).__next__)
    assert outcome.seconds == 3.0
    assert outcome.fitted is not None
