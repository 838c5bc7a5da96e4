"""Classes as functions: set up once, warm between calls, gone when nobody needs them."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from eagleray.functions.calls.pydantic_signature import Signature
from eagleray.functions.function import Function, function
from eagleray.runtime.errors import DefinitionError, ServerUnavailable
from eagleray.runtime.settings import Settings


@function(cpus=0.5, init={"start": 10})
class Counter:
    """Counts its calls."""

    def __init__(self, start: int = 0, step: int = 1) -> None:
        self.total, self.step = start, step
        self.is_ready = False

    def setup(self) -> None:
        self.is_ready = True

    def predict(self, times: int = 1) -> tuple[int, int]:
        assert self.is_ready
        if times < 0:
            os._exit(1)
        self.total += self.step * times
        return self.total, os.getpid()


@function(cpus=0.5)
class Speller:
    def __call__(self, word: str) -> Iterator[str]:
        yield from word


@function(cpus=0.5)
class Awaited:
    async def predict(self, x: int) -> int:
        return x + 1


@function(cpus=0.5, retries=0)
class Broken:
    def setup(self) -> None:
        raise FileNotFoundError("the weights are gone")

    def predict(self, x: int) -> int:
        return x


# A type checker that ignores what decorators make of classes is told so here.
counter: Any = Counter
speller: Any = Speller
awaited: Any = Awaited
broken: Any = Broken


def test_a_plain_call_keeps_its_state() -> None:
    copy = counter.options(init={"start": 5, "step": 2})
    assert (copy()[0], copy(2)[0], copy(times=1)[0]) == (7, 11, 13)
    assert isinstance(copy, Function)
    assert (copy.__name__, copy.__doc__) == ("Counter", "Counts its calls.")
    assert Signature.of(copy).parse_json(b'{"times": "3"}') == ((), {"times": 3})
    copy.close()
    assert copy()[0] == 7  # set up anew


def test_it_travels_without_its_object() -> None:
    copy = counter.options(name="other")
    copy()
    assert pickle.loads(pickle.dumps(copy.callable.init)) == {"start": 10}
    assert copy.callable.__reduce__()[1][:2] == (copy.callable.cls, {"start": 10})


def test_the_state_stays_warm_on_ray(ray_cluster: Settings) -> None:
    import ray

    warm = counter.options(name="warm")
    found = [ray.get(warm.remote()) for _ in range(3)]
    assert [total for total, _ in found] == [11, 12, 13]
    assert len({pid for _, pid in found} | {os.getpid()}) == 2
    warm.close()
    assert ray.get(warm.remote())[0] == 11
    warm.close()


def test_map_takes_more_of_them_and_lets_them_go(ray_cluster: Settings) -> None:
    warm = counter.options(concurrency=2, name="two")
    found = list(warm.map([1] * 200))
    pids = {pid for _, pid in found}
    assert 1 <= len(pids) <= 2
    assert sum(max(total for total, pid in found if pid == one) - 10 for one in pids) == 200  # no call was lost
    warm.close()
    one = counter.options(name="one")
    assert len(list(one.map([1] * 50))) == 50
    assert len(one._tasks._warm) == 1
    one.close()


def test_workers_that_nobody_holds_any_more_end(ray_cluster: Settings) -> None:
    import ray

    warm = counter.options(name="let go")
    _, pid = ray.get(warm.remote())
    assert _is_alive(pid)
    del warm
    gc.collect()
    until = time.monotonic() + 60
    while _is_alive(pid) and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_lost_process_comes_back_with_a_new_state(ray_cluster: Settings) -> None:
    import ray

    fragile = counter.options(retries=0, name="fragile")
    assert ray.get(fragile.remote())[0] == 11
    with pytest.raises(ServerUnavailable, match="fragile: its worker died"):
        list(fragile.map([-1]))
    fragile.close()
    steady = counter.options(retries=1, name="steady")
    assert ray.get(steady.remote())[0] == 11
    with pytest.raises(ServerUnavailable, match="steady: its worker died"):
        list(steady.map([-1]))
    assert ray.get(steady.remote())[0] == 11
    steady.close()


def test_streams_and_coroutines(ray_cluster: Settings) -> None:
    import ray

    assert list(speller("ab")) == ["a", "b"]
    assert [ray.get(reference) for reference in speller.remote("abc")] == ["a", "b", "c"]
    assert list(speller.map(["ab", "c"])) == ["a", "b", "c"]
    assert list(awaited.map([1, 2])) == [2, 3]
    assert ray.get(awaited.remote(5)) == 6
    speller.close()
    awaited.close()


def test_a_setup_that_fails_is_told(ray_cluster: Settings) -> None:
    with pytest.raises(FileNotFoundError, match="the weights are gone"):
        broken(1)
    with pytest.raises(ServerUnavailable, match="Broken: its setup failed: FileNotFoundError: the weights are gone"):
        list(broken.map([1]))
    broken.close()


class NoCall:
    pass


def plain(x: int) -> int:
    return x


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        (NoCall, {}, r"NoCall has no predict\(\.\.\.\): a class needs one"),
        (plain, {"init": {"a": 1}}, "plain is no class, so it takes no init="),
    ],
)
def test_what_is_refused(target: Any, options: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        function(**options)(target)
