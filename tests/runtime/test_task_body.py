"""What surrounds the user's function on a worker, run here in process."""

from __future__ import annotations

import time
from threading import Lock

import numpy as np

from eagleray.runtime.task_body import call, call_batch


def spin(item: int) -> int:
    while True:
        item += 1


def test_a_batch_stops_at_its_first_error() -> None:
    outcome = call_batch(lambda item: 6 // item, [3, 2, 0, 1], None)
    assert outcome.values == [2, 3]
    assert outcome.failure is not None
    assert isinstance(outcome.failure.as_raised(), ZeroDivisionError)
    frames = [line for line in outcome.failure.frames.splitlines() if "File" in line]
    assert len(frames) == 1
    assert frames[0].endswith("in <lambda>")


def test_the_time_limit_ends_each_call() -> None:
    start = time.monotonic()
    outcome = call_batch(spin, [1], 0.05)
    assert time.monotonic() - start < 5
    assert outcome.failure is not None
    assert isinstance(outcome.failure.error, TimeoutError)
    assert "spin took longer than 0.05 s" in str(outcome.failure.error)
    assert call(abs, (-3,), {}, 0.5) == 3


def test_a_coroutine_function_is_awaited() -> None:
    async def add(item: int) -> int:
        return item + 1

    assert call(add, (1,), {}, None) == 2
    assert call_batch(add, [1, 2], None).values == [2, 3]  # type: ignore[comparison-overlap]


def test_an_error_that_cannot_travel_comes_back_as_words() -> None:
    class Odd(Exception):
        def __init__(self, code: int, lock: object) -> None:
            super().__init__(f"code {code}")
            self.lock = lock

    def fail(item: int) -> None:
        raise Odd(item, Lock())

    failure = call_batch(fail, [7], None).failure
    assert failure is not None
    assert str(failure.error).startswith("Odd: code 7")
    assert "in fail" in failure.frames


def test_the_size_of_an_item_counts_arrays_whole() -> None:
    block = np.zeros(100_000)
    assert call_batch(lambda item: item, [block], None).item_bytes >= block.nbytes
    assert call_batch(lambda item: item, [1], None).item_bytes < 1000
