"""Every learner through the same contract, on real data and in this process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from eagleray.functions.evaluation.metric import average_precision, rmse
from eagleray.functions.training.ensemble import link
from eagleray.functions.training.learner import LEARNERS, Fold, Learner, Patience, learner, usual_learners
from eagleray.functions.training.search import draw
from eagleray.runtime.errors import DefinitionError

QUICK = 60.0
# Thresholds drawn from a feature's whole range seldom fall into its tails: there extra trees are coarse.
FAR_OFF = {"extra_trees": 0.35}


@pytest.fixture(params=sorted(LEARNERS))
def one(request: pytest.FixtureRequest) -> Learner:
    return learner(request.param)


def test_starting_points_lie_in_the_space(one: Learner) -> None:
    for rows in (50, 1600, 1_000_000):
        space = one.space(rows)
        for start in one.starts(rows):
            assert set(start) == set(space)
            for name, value in start.items():
                domain = space[name]
                allowed = getattr(domain, "values", None)
                if allowed is not None:
                    assert value in allowed
                else:
                    assert domain.low <= value <= domain.high  # type: ignore[union-attr]


def test_random_points_train(one: Learner, fold: Fold) -> None:
    trainer = one.trainer(fold)
    rng = np.random.default_rng(0)
    for _ in range(3):
        fitted = trainer.train(draw(one.space(1600), rng), limit_s=2.0, seed=0)
        assert fitted.margins.shape == (400,)
        assert fitted.rounds >= 1


def test_it_learns_stops_early_and_does_the_same_twice(one: Learner, fold: Fold) -> None:
    config = one.starts(1600)[1]
    first, again = (one.trainer(fold).train(config, limit_s=QUICK, seed=1) for _ in range(2))
    assert average_precision(fold.y_valid, link(first.margins, fold.task)) > 0.6 > 2 * fold.y_valid.mean()
    assert 1 < first.rounds < 1000
    assert not first.cut
    assert (first.rounds, first.margins.tolist()) == (again.rounds, again.margins.tolist())


def test_time_cuts_a_training_that_still_has_a_result(one: Learner, fold: Fold) -> None:
    fitted = one.trainer(fold).train(one.starts(1600)[2], limit_s=0.0, seed=1)
    assert (fitted.cut, fitted.rounds) == (True, 1)


def test_bins_are_shared_by_trials_with_other_settings(one: Learner, fold: Fold) -> None:
    trainer = one.trainer(fold)
    for start in one.starts(1600):
        shared = {**start, "max_bin": 256}
        alone = one.trainer(fold).train(shared, limit_s=QUICK, seed=1)
        assert trainer.train(shared, limit_s=QUICK, seed=1).margins.tolist() == alone.margins.tolist()


def test_a_refitted_booster_predicts_explains_and_travels(one: Learner, fold: Fold) -> None:
    data = one.trainer(fold).refit(one.starts(1600)[1], rounds=30, seed=1)
    booster = one.booster(data)
    margins = booster.margins(fold.x)
    assert average_precision(fold.y, margins) > 0.6
    parts = booster.contributions(fold.x)
    assert parts.shape == (2000, 5)
    assert np.abs(parts.sum(axis=1) - margins).max() < 1e-4
    assert pickle.loads(pickle.dumps(booster)).margins(fold.x).tolist() == margins.tolist()


def test_the_final_fit_matches_the_trial_where_the_rows_are_the_same(one: Learner, fold: Fold) -> None:
    config = one.starts(1600)[1]
    trainer = one.trainer(fold)
    fitted = trainer.train(config, limit_s=QUICK, seed=1)
    taught = replace(fold, x=np.ascontiguousarray(fold.x_train), y=fold.y_train)
    booster = one.booster(one.trainer(taught).refit(config, rounds=fitted.rounds, seed=1))
    assert booster.margins(np.ascontiguousarray(fold.x_valid)) == pytest.approx(fitted.margins, abs=1e-4)


def test_regression_gives_values_not_odds(one: Learner, fold: Fold) -> None:
    target = (10 + 3 * fold.x[:, 0]).astype(np.float32)
    numbers = replace(fold, y=target, task="regression", metric="rmse")
    fitted = one.trainer(numbers).train(one.starts(1600)[1], limit_s=QUICK, seed=1)
    assert rmse(numbers.y_valid, fitted.margins) < FAR_OFF.get(one.NAME, 0.2) * target.std()


def test_an_unknown_learner_names_the_nearest() -> None:
    with pytest.raises(DefinitionError, match="did you mean 'xgboost'"):
        learner("xgbost")


def patience(fold: Fold, ticks: Iterator[float], *, limit_s: float = 100.0) -> Patience:
    return Patience(fold, rounds=3, limit_s=limit_s, clock=lambda: next(ticks))


def test_where_trials_are_many_all_learners_are_tried() -> None:
    assert usual_learners(99.0) == ("xgboost", "lightgbm")
    assert usual_learners(100.0) == tuple(LEARNERS)


def test_patience_ends_after_so_many_rounds_without_a_better_value(fold: Fold) -> None:
    one = patience(replace(fold, metric="rmse"), iter(np.arange(100.0)))
    truth = np.zeros(4, dtype=np.float32)
    stops = [one.after_round(i + 1, truth, truth + error) for i, error in enumerate([3, 2, 2, 2.5, 2])]
    assert stops == [False, False, False, False, True]
    assert (one.best_round, one.trained, one.best_value, one.cut) == (2, 5, 2.0, False)


def test_patience_ends_when_time_is_up(fold: Fold) -> None:
    one = patience(replace(fold, metric="rmse"), iter([0.0, 1.0, 2.0]), limit_s=2.0)
    truth = np.zeros(4, dtype=np.float32)
    assert not one.after_round(1, truth, truth + 1)
    assert one.after_round(2, truth, truth + 1)
    assert one.cut
