"""FLAML's CFO behind our port."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from eagleray.functions.training.flaml_search import factory
from eagleray.functions.training.learner import Config
from eagleray.functions.training.search import ProposerFactory, draw

from .test_search import SPACE, START, quality, search_over, trial_of


@pytest.fixture(scope="module")
def cfo() -> ProposerFactory:
    return factory()


def test_it_climbs_where_random_draws_do_not(cfo: ProposerFactory) -> None:
    search = search_over()
    search.use(cfo)
    for _ in range(80):
        candidate = search.ask()
        search.tell(trial_of(candidate, quality(candidate.config)))
    rng = np.random.default_rng(0)
    by_chance = max(quality(draw(SPACE, rng)) for _ in range(80))
    assert search.ranking[0].value > max(by_chance, 0.93)


def test_it_stays_inside_the_space_with_several_asks_under_way_and_some_failing(cfo: ProposerFactory) -> None:
    search = search_over("one", "two")
    search.use(cfo)
    rng = np.random.default_rng(1)
    running = []
    for _ in range(120):
        candidate = search.ask()
        assert set(candidate.config) == set(SPACE)
        assert 0.01 <= candidate.config["rate"] <= 1.0
        assert 4 <= candidate.config["leaves"] <= 1000
        assert candidate.config["bins"] in (256, 1024, 4096)
        assert type(candidate.config["leaves"]) is int
        running.append(candidate)
        if len(running) == 4:
            done = running.pop(int(rng.integers(4)))
            search.tell(trial_of(done, float("nan") if rng.random() < 0.1 else quality(done.config)))
    assert search.ranking[0].value > quality(START)


def test_the_same_seed_proposes_the_same(cfo: ProposerFactory) -> None:
    def proposals(seed: int) -> list[Config]:
        proposer = cfo(SPACE, START, 0.5, seed)
        configs: list[Config] = []
        for number in range(10):
            config = proposer.ask(number)
            assert config is not None
            configs.append(dict(config))
            proposer.tell(number, 1 - quality(config))
        return configs

    assert proposals(7) == proposals(7) != proposals(8)


def test_a_proposer_without_a_known_loss_begins_at_its_start(cfo: ProposerFactory) -> None:
    assert cfo(SPACE, START, None, 0).ask(0) == pytest.approx(START)


def test_loading_it_takes_nothing_but_the_searcher() -> None:
    code = (
        "import sys; from eagleray.functions.training.flaml_search import factory; factory(); "
        "print(*{'ray', 'mlflow', 'sklearn', 'pandas', 'flaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
