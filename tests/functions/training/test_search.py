"""The search against made-up losses: no library trains here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from eagleray.functions.evaluation.metric import metric
from eagleray.functions.training.learner import Choice, Config, LogInteger, LogUniform, Space, Uniform
from eagleray.functions.training.search import Candidate, Proposer, Search, Trial, draw, leaderboard

SPACE: Space = {
    "rate": LogUniform(0.01, 1.0),
    "leaves": LogInteger(4, 1000),
    "share": Uniform(0.5, 1.0),
    "bins": Choice((256, 1024, 4096)),
}
START: Config = {"rate": 0.5, "leaves": 4, "share": 1.0, "bins": 256}


def quality(config: Config) -> float:
    """A hill with its top of 1 at rate .05, leaves 60, share .7 and the finest bins."""
    return (
        1.0
        - 0.1 * abs(math.log(config["rate"] / 0.05))
        - 0.05 * abs(math.log(config["leaves"] / 60))
        - 0.2 * abs(config["share"] - 0.7)
        - (0.1 if config["bins"] < 4096 else 0.0)
    )


def trial_of(candidate: Candidate, value: float, seconds: float = 1.0) -> Trial:
    status = "done" if math.isfinite(value) else "failed"
    return Trial(candidate.number, candidate.learner, candidate.config, status, value, 10, seconds)  # type: ignore[arg-type]


def search_over(*names: str, starts: Sequence[Config] = (START,), seed: int = 0) -> Search:
    spaces = dict.fromkeys(names or ("one",), SPACE)
    return Search(spaces, starts=dict.fromkeys(spaces, starts), metric=metric("roc_auc"), seed=seed)


class Script:
    """A proposer that gives what it was told to, then nothing."""

    def __init__(self, configs: Sequence[Config]) -> None:
        self.configs = list(configs)
        self.told: list[tuple[int, float | None]] = []

    def ask(self, number: int) -> Config | None:
        return self.configs.pop(0) if self.configs else None

    def tell(self, number: int, loss: float | None) -> None:
        self.told.append((number, loss))


def test_draws_stay_inside_their_domains() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        config = draw(SPACE, rng)
        assert 0.01 <= config["rate"] <= 1.0
        assert 4 <= config["leaves"] <= 1000
        assert isinstance(config["leaves"], int)
        assert 0.5 <= config["share"] <= 1.0
        assert config["bins"] in (256, 1024, 4096)


def test_starting_points_come_first_and_the_learners_take_turns() -> None:
    other = {**START, "leaves": 9}
    search = search_over("one", "two", starts=(START, other))
    asked = [search.ask() for _ in range(4)]
    assert [(c.learner, c.config["leaves"]) for c in asked] == [("one", 4), ("two", 4), ("one", 9), ("two", 9)]
    assert [c.number for c in asked] == [0, 1, 2, 3]


def test_without_a_proposer_the_search_is_random_and_repeatable() -> None:
    first, again = search_over(seed=4), search_over(seed=4)
    configs = [first.ask().config for _ in range(6)]
    assert configs == [again.ask().config for _ in range(6)]
    assert len({c["rate"] for c in configs}) == 6


def test_a_proposer_starts_from_the_best_and_is_told_what_it_asked_for() -> None:
    made: list[tuple[Config, float | None]] = []
    script = Script([{**START, "leaves": 5}, {**START, "leaves": 6}])

    def factory(space: Space, start: Config, loss: float | None, seed: int) -> Proposer:
        made.append((start, loss))
        return script

    search = search_over()
    search.use(factory)
    search.tell(trial_of(search.ask(), 0.75))
    first, second = search.ask(), search.ask()
    search.tell(trial_of(second, float("nan")))
    search.tell(trial_of(first, 0.8))
    assert made == [(START, 0.25)]
    assert script.told == [(second.number, None), (first.number, pytest.approx(0.2))]


def test_before_any_result_the_search_does_not_wait() -> None:
    search = search_over()
    search.use(lambda *_: Script([]))
    assert len({search.ask().config["rate"] for _ in range(4)}) == 4


def test_a_proposer_with_nothing_new_is_replaced_by_one_from_a_new_point() -> None:
    starts: list[tuple[Config, float | None]] = []

    def factory(space: Space, start: Config, loss: float | None, seed: int) -> Proposer:
        starts.append((start, loss))
        return Script([])

    search = search_over()
    search.use(factory)
    search.tell(trial_of(search.ask(), 0.75))
    for _ in range(12):
        search.tell(trial_of(search.ask(), 0.1))
    assert starts[0] == (START, 0.25)
    assert len(starts) == 3
    assert starts[1][1] is None
    assert starts[1][0] != START


def test_what_gets_better_cheaply_is_asked_more() -> None:
    search = search_over("good", "bad")
    for _ in range(200):
        candidate = search.ask()
        good = candidate.learner == "good"
        search.tell(trial_of(candidate, 0.9 if good else 0.5, seconds=1.0 if good else 5.0))
    asked = [trial.learner for trial in search.trials]
    assert asked.count("good") > 2 * asked.count("bad") > 0  # the other is never forgotten altogether


def test_ranking_puts_the_best_first_and_leaves_out_failures() -> None:
    search = search_over()
    for value in (0.5, float("nan"), 0.9, 0.9):
        search.tell(trial_of(search.ask(), value))
    assert [trial.number for trial in search.ranking] == [2, 3, 0]


def test_a_leaderboard_holds_every_trial_failures_last() -> None:
    search = search_over()
    for value in (0.5, float("nan"), 0.9):
        search.tell(trial_of(search.ask(), value))
    board = leaderboard(search.trials, metric=metric("roc_auc"))
    assert board["rank"].to_list() == [1, 2, 3]
    assert board["roc_auc"].to_list() == [0.9, 0.5, None]
    assert board["config"][1] == "rate=0.5 leaves=4 share=1 bins=256"


def test_an_empty_leaderboard_has_the_same_columns() -> None:
    search = search_over()
    search.tell(trial_of(search.ask(), 0.5))
    rows = leaderboard(search.trials, metric=metric("roc_auc"))
    assert leaderboard([], metric=metric("roc_auc")).schema == rows.schema
