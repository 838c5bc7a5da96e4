"""The pool of Ray actors: real processes, real deaths."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from eagleray.functions.training.learner import Fold, learner
from eagleray.functions.training.ray_trainer import RayPool, TrainerActor
from eagleray.functions.training.trainer import Job, Outcome
from eagleray.runtime.settings import Settings

CONFIG = learner("xgboost").starts(1600)[0]


@pytest.fixture
def pool(ray_cluster: Settings, fold: Fold) -> Iterator[RayPool]:
    made = RayPool(fold, learners=["xgboost"], workers=2)
    yield made
    made.close()


def until(pool: RayPool, *, idle: int = 0, outcomes: int = 0) -> list[Outcome]:
    """Waits for so many idle workers or outcomes; the test's own time limit ends it otherwise."""
    found: list[Outcome] = []
    while pool.idle < idle or len(found) < outcomes:
        found += pool.wait(5.0)
    return found


def test_workers_share_the_fold_and_do_jobs_side_by_side(pool: RayPool) -> None:
    assert (pool.workers, pool.idle, pool.busy) == (2, 0, 0)
    until(pool, idle=2)
    for number in range(2):
        pool.submit(Job(number, "xgboost", CONFIG, seed=0, limit_s=20.0))
    assert (pool.idle, pool.busy) == (0, 2)
    first, second = sorted(until(pool, outcomes=2), key=lambda o: o.job.number)
    assert first.fitted is not None
    assert second.fitted is not None
    assert first.fitted.margins.tolist() == second.fitted.margins.tolist()
    pool.submit(Job(2, "xgboost", CONFIG, seed=0, rounds=5))
    (final,) = until(pool, outcomes=1)
    assert learner("xgboost").booster(final.booster).data == final.booster


def test_an_error_of_the_library_fails_the_job_and_keeps_the_worker(pool: RayPool) -> None:
    until(pool, idle=1)
    pool.submit(Job(0, "xgboost", {**CONFIG, "max_leaves": -5}, seed=0, limit_s=5.0))
    (failed,) = until(pool, outcomes=1)
    assert failed.error.startswith("XGBoostError")
    assert "\n" not in failed.error
    assert pool.idle >= 1


def test_a_killed_worker_fails_its_job_and_is_replaced(pool: RayPool) -> None:
    until(pool, idle=2)
    slow = {**CONFIG, "learning_rate": 0.01, "max_leaves": 160, "max_bin": 4096}
    pool.submit(Job(7, "xgboost", slow, seed=0, limit_s=120.0))
    pid = busy_process()
    os.kill(pid, signal.SIGKILL)
    (failed,) = until(pool, outcomes=1)
    assert failed.job.number == 7
    assert failed.error == "its worker died: it was killed or ran out of memory"
    until(pool, idle=2)


def test_cancelling_ends_what_runs_and_brings_new_workers(pool: RayPool) -> None:
    until(pool, idle=2)
    slow = {**CONFIG, "learning_rate": 0.01, "max_leaves": 160, "max_bin": 4096}
    pool.submit(Job(0, "xgboost", slow, seed=0, limit_s=120.0))
    pool.cancel()
    assert (pool.busy, pool.idle) == (0, 1)
    assert until(pool, idle=2) == []


def busy_process() -> int:
    """The id of the worker process that does a job, by the title Ray gives it."""
    while True:
        for one in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if one.cmdline()[:1] == ["ray::TrainerActor.run"]:
                    return int(one.pid)


def test_the_actor_itself_needs_no_ray(fold: Fold) -> None:
    actor = TrainerActor(fold.x, fold.y, fold.train_rows, fold.task, fold.metric)
    assert actor.run(Job(0, "xgboost", CONFIG, seed=0, limit_s=5.0)).fitted is not None
