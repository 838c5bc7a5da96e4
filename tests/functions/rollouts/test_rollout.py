"""Versions of a service on a real Ray Serve: history, rollback, canary, promotion, shadow, and no request lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from eagleray.functions.endpoint import FunctionEndpoint
from eagleray.functions.function import Function, function
from eagleray.functions.rollouts.releases import Step, before
from eagleray.runtime.errors import DefinitionError, DeploymentError, EaglerayError, NotFoundError
from eagleray.runtime.settings import Settings


def numbered(number: int, name: str = "numbered") -> Function[..., int]:
    @function(cpus=0.1, name=name)
    def answer(x: int = 0) -> int:
        return number

    return answer


@pytest.fixture
def catalog(serving: Settings, tmp_path: Path) -> Settings:
    """The shared Serve with releases of the test's own."""
    return replace(serving, catalog_url=f"sqlite:///{tmp_path}/catalog.db")


@contextmanager
def load(end: FunctionEndpoint) -> Iterator[Counter[int]]:
    """Four clients that ask all the time; an error fails the test."""
    answers: Counter[int] = Counter()
    wrong: list[EaglerayError] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            try:
                answers[end.call()] += 1
            except EaglerayError as error:
                wrong.append(error)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def until(condition: Callable[[], bool]) -> None:
    """Waits on the thing itself; pytest's time limit bounds it."""
    while not condition():
        threading.Event().wait(0.02)


def shown(end: FunctionEndpoint) -> list[tuple[int, str, float]]:
    return [(one.number, one.role, one.percent) for one in end.history()]


def test_the_life_of_a_service(catalog: Settings) -> None:
    end = numbered(1).deploy(settings=catalog)
    assert shown(end) == [(1, "stable", 100.0)]
    with pytest.raises(DeploymentError, match="no version before this one"):
        end.rollback()
    with pytest.raises(DeploymentError, match="neither canary nor shadow"):
        end.promote()
    with pytest.raises(DeploymentError, match="has no canary: deploy a version with canary=10"):
        end.canary(10)
    with pytest.raises(DefinitionError, match="give a share from 0 to 100"):
        numbered(2).deploy(settings=catalog, canary=120)

    with load(end) as answers:
        second = numbered(2).deploy(settings=catalog, canary=25)
        assert second.url == end.url
        assert shown(end) == [(2, "canary", 25.0), (1, "stable", 75.0)]
        answers.clear()
        until(lambda: answers.total() >= 200)
        assert 0.15 < answers[2] / answers.total() < 0.35

        end.canary(100)
        until(lambda: end.call() == 2)
        assert end.promote().number == 2
        assert shown(end) == [(2, "stable", 100.0), (1, "", 0.0)]
        assert end.call() == 2

        assert end.rollback().number == 1
        assert end.call() == 1
        assert shown(end) == [(2, "", 0.0), (1, "stable", 100.0)]
        assert end.rollback().number == 2  # what was stable before the first rollback
        assert end.call() == 2
        with pytest.raises(NotFoundError, match="numbered has no version 7; known: 1, 2"):
            end.rollback(to=7)

    numbered(1).deploy(settings=catalog)  # old content is the old version
    assert shown(end) == [(2, "", 0.0), (1, "stable", 100.0)]
    end.stop()
    with pytest.raises(NotFoundError):
        end.call()
    with pytest.raises(DeploymentError, match="numbered is not deployed: deploy a version without canary"):
        numbered(2).deploy(settings=catalog, canary=5)


def test_a_canary_that_dies_costs_no_request(catalog: Settings) -> None:
    end = numbered(1, "dying").deploy(settings=catalog)

    @function(cpus=0.1, name="dying")
    def dies(x: int = 0) -> int:
        import os

        os._exit(1)

    with load(end) as answers:
        dies.deploy(settings=catalog, canary=50)
        until(lambda: end.compared().fallbacks >= 3)
        end.canary(0)
        assert [role for _, role, _ in shown(end)] == ["", "stable"]
    assert set(answers) == {1}
    end.stop()


def test_a_shadow_is_compared(catalog: Settings) -> None:
    end = numbered(1, "shadowed").deploy(settings=catalog)
    numbered(2, "shadowed").deploy(settings=catalog, shadow=True)
    assert shown(end) == [(2, "shadow", 0.0), (1, "stable", 100.0)]
    with load(end) as answers:
        until(lambda: end.compared().shadowed >= 20)
    assert set(answers) == {1}
    counts = end.compared()
    assert (counts.equal, counts.canary) == (0, 0)
    assert counts.different == counts.shadowed
    end.end_shadow()
    assert shown(end)[0] == (2, "", 0.0)
    end.stop()


def test_a_version_that_does_not_come_up_is_none(catalog: Settings) -> None:
    end = numbered(1, "steadfast").deploy(settings=catalog)

    @function(cpus=0.1, name="steadfast")
    class Broken:
        def setup(self) -> None:
            raise FileNotFoundError("the weights are gone")

        def predict(self, x: int = 0) -> int:
            return x

    with load(end) as answers:
        with pytest.raises(DeploymentError, match="the weights are gone"):
            Broken.deploy(settings=catalog)  # type: ignore[attr-defined]
        assert shown(end) == [(1, "stable", 100.0)]
    assert set(answers) == {1}
    end.stop()


def test_what_was_stable_before() -> None:
    steps = [Step(number, "deploy", 0) for number in (1, 2, 3, 3)]
    assert before(steps) == 2
    assert before(steps[:1]) is None
    assert before([*steps, Step(2, "rollback", 0)]) == 3


def test_other_machines_need_a_key(tmp_path: Path) -> None:
    exposed = Settings(home=tmp_path, serve_host="0.0.0.0")
    with pytest.raises(DeploymentError, match=r"from other machines: set EAGLERAY_API_KEYS"):
        numbered(1, "exposed").deploy(settings=exposed)
