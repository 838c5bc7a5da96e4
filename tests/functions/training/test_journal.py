"""What a crash leaves of a search, and that it goes on from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from eagleray.functions.evaluation.metric import metric
from eagleray.functions.training.budget import Budget
from eagleray.functions.training.flaml_search import factory
from eagleray.functions.training.journal import Journal, Told
from eagleray.functions.training.learner import Fold, learner
from eagleray.functions.training.replay import replay
from eagleray.functions.training.search import Candidate, Search, Trial
from eagleray.functions.training.trainer import Job, LocalPool
from eagleray.functions.training.tune import Tuning
from eagleray.runtime.errors import InputError, StorageError

METRIC = metric("average_precision")
ABOUT = {"table": "abc", "label": "'clicked'"}
NAMES = ("xgboost", "lightgbm")


def told(number: int, value: float = 0.7) -> Told:
    margins = np.arange(6, dtype=np.float32) * number if np.isfinite(value) else None
    status: Literal["done", "failed"] = "done" if np.isfinite(value) else "failed"
    return Told(Trial(number, "xgboost", {"max_bin": 256, "eta": 0.1}, status, value, 9, 1.5, 1.0), 3, 2.0, margins)


def written(path: Path, *trials: Told) -> bytes:
    journal = Journal(path, ABOUT)
    for one in trials:
        journal.add(one)
    journal.close()
    return path.read_bytes()


def same(a: Told, b: Told) -> bool:
    margins = [one.margins.tolist() if one.margins is not None else None for one in (a, b)]
    return margins[0] == margins[1] and repr(replace(a, margins=None)) == repr(replace(b, margins=None))


def test_what_was_told_is_read_again(tmp_path: Path) -> None:
    trials = told(0), told(1, float("nan")), told(2)
    written(tmp_path / "a.journal", *trials)
    journal = Journal(tmp_path / "a.journal", ABOUT)
    assert all(same(a, b) for a, b in zip(journal.told, trials, strict=True))
    assert journal.elapsed_s == 2.0
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_torn_or_damaged_trial_is_dropped_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    two = len(written(path, told(0), told(1)))
    whole = written(path, told(2))
    third = len(whole) - two
    for kept in range(1, third):  # however far the last write came
        path.write_bytes(whole[: two + kept])
        journal = Journal(path, ABOUT)
        journal.close()
        assert len(journal.told) == 2
        assert path.stat().st_size == two
    damaged = bytearray(whole)
    damaged[two - 1] ^= 1  # in the second trial: what follows cannot be trusted
    path.write_bytes(damaged)
    written(path, told(7))
    journal = Journal(path, ABOUT)
    assert [one.trial.number for one in journal.told] == [0, 7]


def test_another_search_under_the_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    written(path, told(0))
    with pytest.raises(InputError, match=r"search 'a' was begun with another table: .* delete "):
        Journal(path, {**ABOUT, "table": "xyz"})
    with pytest.raises(InputError, match=r"another label \(then 'clicked', now 'sold'\)"):
        Journal(path, {**ABOUT, "label": "'sold'"})
    held = Journal(path, ABOUT)
    with pytest.raises(InputError, match="search 'a' is running"):
        Journal(path, ABOUT)
    held.close()
    assert len(Journal(path, ABOUT).told) == 1


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write the search's journal"):
        Journal(tmp_path / "file" / "a.journal", ABOUT)


def search(screened: int = 0) -> Search:
    made = Search(
        {name: learner(name).space(1600) for name in NAMES},
        starts={name: learner(name).starts(1600) for name in NAMES},
        metric=METRIC, seed=3, screened=screened,
    )  # fmt: skip
    made.use(factory())
    return made


def invented(candidate: Candidate) -> Trial:
    value = 0.5 + 0.4 * float(np.sin(sum(candidate.config.values()) + candidate.number))
    status: Literal["done", "screened"] = "screened" if candidate.is_screened else "done"
    return Trial(candidate.number, candidate.learner, dict(candidate.config), status, value, 5, 0.1 + value, 0.1)


@pytest.mark.parametrize("screened", [0, 12])
def test_a_replayed_search_proposes_what_the_first_one_would_have(screened: int) -> None:
    first, journal = search(screened), []
    waiting = [first.ask(), first.ask()]
    for _ in range(40):
        candidate = waiting.pop(0)
        first.tell(invented(candidate))
        journal.append(Told(first.trials[-1], first.asked, 1.0))
        waiting.append(first.ask())
    second = search(screened)
    unfinished = replay(second, journal)
    assert unfinished == waiting[:1]  # the newest was asked for after the last trial was written down
    assert second.trials == first.trials
    assert [second.ask() for _ in range(20)] == [*waiting[1:], *(first.ask() for _ in range(19))]

    other = [replace(journal[0], trial=replace(journal[0].trial, config={"max_bin": 1})), *journal[1:]]
    with pytest.raises(StorageError, match="trial 0 of the journal is not what this search proposes"):
        replay(search(screened), other)


class CountingPool(LocalPool):
    """A real pool that dies with its driver at a trial of that number."""

    def __init__(self, fold: Fold, dies_at: int = -1) -> None:
        super().__init__(fold)
        self.trained: list[int] = []
        self._dies_at = dies_at

    def submit(self, job: Job) -> None:
        if job.number == self._dies_at:
            raise KeyboardInterrupt
        self.trained.append(job.number)
        super().submit(job)


def tuned(fold: Fold, pool: LocalPool, path: Path | None) -> Tuning:
    budget = Budget(60.0, 0.0, 1.25, trials=9).timeless(fold.x.shape)
    journal = Journal(path, ABOUT) if path is not None else None
    return Tuning(
        pool=pool, search=search(), budget=budget, metric=METRIC, labels=fold.y_valid, clock=lambda: 0.0,
        journal=journal,
    )  # fmt: skip


def test_a_search_goes_on_from_its_journal_and_comes_to_the_same(fold: Fold, tmp_path: Path) -> None:
    whole = tuned(fold, LocalPool(fold), None)
    whole.run(None)

    path = tmp_path / "a.journal"
    broken = tuned(fold, CountingPool(fold, dies_at=6), path)
    with pytest.raises(KeyboardInterrupt):
        broken.run(None)
    assert broken.journal is not None
    broken.journal.close()

    pool = CountingPool(fold)
    seen: list[Trial] = []
    resumed = tuned(fold, pool, path)
    resumed.run(seen.append)
    assert pool.trained == [6, 7, 8] == [trial.number for trial in seen]
    assert resumed.search.trials == whole.search.trials
    assert resumed.margins.keys() == whole.margins.keys()
    assert all((resumed.margins[n] == whole.margins[n]).all() for n in whole.margins)
