"""Many calls on a real Ray: every way to hand items in and to read results, and what happens when one goes wrong."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from itertools import count, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from eagleray.functions.function import function
from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.retries import Retries

pytestmark = pytest.mark.usefixtures("ray_cluster")


@function(cpus=0.5)
def power(base: int, exponent: int = 2) -> int:
    if base < 0:
        raise ValueError(f"{base} is negative")
    return int(base**exponent)


@function(cpus=0.5)
def letters(word: str, *, twice: bool = False) -> Iterator[str]:
    yield from word
    if twice:
        yield from word


@function(cpus=0.5)
async def later(word: str) -> AsyncIterator[str]:
    for letter in word:
        yield letter


@function(cpus=0.5)
def stuck_in_native_code(item: int) -> int:
    """Holds the interpreter for ever: no signal, no thread of Python's gets a turn."""
    if item == 3:
        deque(repeat(0), maxlen=0)
    return item


@function(cpus=0.5, timeout_s=0.5)
def stuck_after(values: int) -> Iterator[int]:
    yield from range(values)
    deque(repeat(0), maxlen=0)
    yield -1


def test_starmap() -> None:
    assert list(power.starmap([(2, 3), (3, 2)])) == [8, 9]
    assert list(power.starmap(zip(range(200), [1] * 200, strict=True))) == list(range(200))


def test_shared_arguments_travel_once() -> None:
    assert list(power.map([1, 2, 3], exponent=3)) == [1, 8, 27]
    frame = pl.DataFrame({"x": [1.0, 2.0]})
    table = np.arange(1_000_000.0)

    @function(cpus=0.5)
    def weigh(item: int, frame: pl.DataFrame, table: np.ndarray) -> float:
        return float(frame["x"].sum() + table[item])

    assert list(weigh.map([5, 7], frame=frame, table=table)) == [8.0, 10.0]


def test_as_they_come() -> None:
    assert sorted(power.map(range(500), ordered=False)) == [item * item for item in range(500)]


def test_errors_in_their_places() -> None:
    found = list(power.map([1, -1, 2, -2, 3], return_exceptions=True))
    assert [value for value in found if isinstance(value, int)] == [1, 4, 9]
    assert [str(found[place]) for place in (1, 3)] == ["-1 is negative", "-2 is negative"]
    with pytest.raises(ValueError, match="-1 is negative"):
        list(power.map([1, -1], ordered=False))


def test_an_endless_source(tmp_path: Path) -> None:
    results = power.map(count())
    assert list(islice(results, 1000)) == [item * item for item in range(1000)]
    results.close()  # type: ignore[attr-defined]


def test_for_each(tmp_path: Path) -> None:
    @function(cpus=0.5)
    def touch(name: str, folder: str) -> bytes:
        Path(folder, name).touch()
        return b"not sent back"

    assert touch.for_each((f"f{place}" for place in range(50)), folder=str(tmp_path)) == 50
    assert len(list(tmp_path.iterdir())) == 50


def test_generators_stream() -> None:
    import ray

    assert list(letters("ab")) == ["a", "b"]
    assert [ray.get(reference) for reference in letters.remote("abc")] == ["a", "b", "c"]  # type: ignore[attr-defined]
    assert [ray.get(reference) for reference in later.remote("abc")] == ["a", "b", "c"]  # type: ignore[attr-defined]
    assert list(letters.map(["ab", "c", "", "de"])) == list("abcde")
    assert list(letters.map(["ab"], twice=True)) == list("abab")
    assert list(later.map(["ab", "c"])) == list("abc")
    assert letters.for_each(["ab", "c"]) == 3
    with pytest.raises(DefinitionError, match="letters yields its results: map it in order"):
        letters.map(["ab"], ordered=False)


def test_an_endless_generator_is_read_as_it_comes() -> None:
    @function(cpus=0.5)
    def counts(start: int) -> Iterator[int]:
        yield from count(start)

    found = counts.map([5, 6])
    assert list(islice(found, 3)) == [5, 6, 7]
    found.close()  # type: ignore[attr-defined]


def test_at_most_so_many_at_once(tmp_path: Path) -> None:
    @function(cpus=0.1, concurrency=1)
    def alone(item: int, folder: str) -> int:
        lock = Path(folder, "lock")
        lock.mkdir()  # raises where another call is at work
        lock.rmdir()
        return item

    assert list(alone.map(range(40), folder=str(tmp_path))) == list(range(40))


def test_native_code_that_never_returns_is_ended() -> None:
    import ray

    limited = stuck_in_native_code.options(timeout_s=0.5)
    found: list[object] = list(limited.map([1, 2, 3, 4], return_exceptions=True))
    assert [found[0], found[1], found[3]] == [1, 2, 4]
    assert isinstance(found[2], TimeoutError)
    assert "stuck_in_native_code took longer than 0.5 s" in str(found[2])
    with pytest.raises(TimeoutError, match="raise timeout_s"):
        ray.get(limited.options(retries=0).remote(3))
    assert ray.get(limited.remote(7)) == 7


def test_a_stream_that_is_ended_says_so_after_its_values() -> None:
    seen: list[int] = []
    with pytest.raises(TimeoutError, match=r"stuck_after took longer than 0\.5 s"):
        seen.extend(stuck_after.map([3]))
    assert seen == [0, 1, 2]


def test_code_that_changes_between_calls_runs_as_it_is_now() -> None:
    import ray

    space: dict[str, Any] = {"__name__": "__main__", "function": function}
    exec("RATE = 2\n@function(cpus=0.5)\ndef rated(x):\n    return x * RATE\n", space)  # as a notebook's cells do
    exec("@function(cpus=0.5)\nclass Rated:\n    def predict(self, x):\n        return x * RATE\n", space)
    rated, warm = space["rated"], space["Rated"]
    assert [ray.get(rated.remote(5)), *rated.map([5]), ray.get(warm.remote(5))] == [10, 10, 10]
    space["RATE"] = 3
    assert [ray.get(rated.remote(5)), *rated.map([5]), ray.get(warm.remote(5))] == [15, 15, 15]
    warm.close()


def test_listed_errors_run_again(tmp_path: Path) -> None:
    import ray

    @function(cpus=0.5, retries=Retries(3, on=(ConnectionError,), backoff_s=0.01))
    def flaky(folder: str) -> int:
        marks = len(list(Path(folder).iterdir()))
        if marks < 2:
            Path(folder, str(marks)).touch()
            raise ConnectionError("not now")
        return marks

    assert ray.get(flaky.remote(str(tmp_path))) == 2


def test_a_cancelled_call_ends(tmp_path: Path) -> None:
    import ray

    @function(cpus=0.5)
    def waits(folder: str) -> None:
        Path(folder, str(os.getpid())).touch()
        while True:
            pass

    reference = waits.remote(str(tmp_path))
    while not list(tmp_path.iterdir()):  # until it has begun
        threading.Event().wait(0.02)
    ray.cancel(reference)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(reference)


def test_what_no_node_has_is_told_at_once() -> None:
    with pytest.raises(DefinitionError, match=r"power asks 2 GPU, the largest node has 0: ask for less or add a node"):
        power.options(gpu=2).remote(1)
    with pytest.raises(DefinitionError, match="asks 900 CPU"):
        power.options(cpus=900).map([1])


def test_an_awaited_call() -> None:
    import asyncio

    async def ask() -> int:
        return await power.remote(5)

    assert asyncio.run(ask()) == 25
