"""What surrounds the user's function on a worker, run here in process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from threading import Lock
from typing import Any

import numpy as np
import pytest

from eagleray.runtime.call_options import CallOptions
from eagleray.runtime.failure import Failure
from eagleray.runtime.retries import Retries
from eagleray.runtime.task_body import BatchMode, Body, Outcome

PLAIN = BatchMode()
QUICK = Retries(3, on=(ConnectionError,), backoff_s=0.001)


def body(fn: Callable[..., Any], **options: Any) -> Body[Any]:
    return Body(fn, CallOptions(fn.__name__, **options))


def batch(fn: Callable[..., Any], items: list[Any], mode: BatchMode = PLAIN, **options: Any) -> Outcome[Any]:
    return body(fn, **options).batch(items, {}, mode)


def spin(item: int) -> int:
    while True:
        item += 1


async def add(item: int, plus: int = 1) -> int:
    return item + plus


def test_a_batch_stops_at_its_first_error() -> None:
    outcome = batch(lambda item: 6 // item, [3, 2, 0, 1])
    assert outcome.values[:2] == [2, 3]
    (failure,) = outcome.values[2:]
    assert isinstance(failure, Failure)
    assert isinstance(failure.as_raised(), ZeroDivisionError)
    frames = [line for line in failure.frames.splitlines() if "File" in line]
    assert len(frames) == 1
    assert frames[0].endswith("in <lambda>")


def test_a_batch_that_keeps_going_has_an_entry_an_item() -> None:
    values = batch(lambda item: 6 // item, [3, 0, 1], BatchMode(keeps_going=True)).values
    assert [value for value in values if not isinstance(value, Failure)] == [2, 6]
    assert isinstance(values[1], Failure)
    assert batch(abs, [-1, 2], BatchMode(discards=True)).values == [None, None]


def test_starred_items_and_shared_arguments() -> None:
    def power(base: int, exponent: int, *, minus: int = 0) -> int:
        return int(base**exponent) - minus

    assert batch(power, [(2, 3), (3, 2)], BatchMode(starred=True)).values == [8, 9]
    assert body(power).batch([2, 3], {"exponent": 2, "minus": 1}, BatchMode()).values == [3, 8]


def test_the_time_limit_ends_each_call() -> None:
    start = time.monotonic()
    (failure,) = batch(spin, [1], timeout_s=0.05).values
    assert time.monotonic() - start < 5
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, TimeoutError)
    assert "spin took longer than 0.05 s" in str(failure.error)
    assert body(abs, timeout_s=0.5).call((-3,), {}) == 3


class MemoryWatch:
    """Notes in a list."""

    def __init__(self, overdue: int | None = None) -> None:
        self.notes: list[int] = []
        self.ended = 0
        self._overdue = overdue

    @property
    def place(self) -> int:
        return self._overdue or 0

    def overdue(self) -> int | None:
        return self._overdue

    def begin(self, place: int) -> None:
        self.notes.append(place)

    def advance(self, place: int) -> None:
        self.notes.append(place)

    def end(self) -> None:
        self.ended += 1


def test_the_attempt_after_one_that_was_ended_reports_it() -> None:
    watch = MemoryWatch(overdue=1)
    watched: Body[int] = Body(abs, CallOptions("abs", timeout_s=5.0), watch=lambda _: watch)
    values = watched.batch([-1, -2, -3], {}, BatchMode(keeps_going=True)).values
    assert (values[0], values[2]) == (1, 3)
    assert isinstance(values[1], Failure)
    assert "abs took longer than 5 s" in str(values[1].error)
    assert (watch.notes, watch.ended) == ([0, 2], 1)
    with pytest.raises(TimeoutError, match="abs took longer"):
        watched.call((-1,), {})
    untouched = MemoryWatch()
    assert Body(abs, CallOptions("abs"), watch=lambda _: untouched).call((-1,), {}) == 1
    assert untouched.notes == []  # nothing is noted of a function without a limit


def test_a_stream_tells_how_far_it_came() -> None:
    def letters(word: str) -> Iterator[str]:
        yield from word

    options = CallOptions("letters", timeout_s=5.0)
    watch = MemoryWatch()
    assert list(Body(letters, options, watch=lambda _: watch).stream(("abc",), {})) == ["a", "b", "c"]
    assert (watch.notes, watch.ended) == ([0, 1, 2, 3], 1)
    late = MemoryWatch(overdue=2)
    values: list[object] = []
    with pytest.raises(TimeoutError, match="letters took longer than 5 s"):
        values.extend(Body(letters, options, watch=lambda _: late).stream(("abc",), {}))
    assert values == [None, None]  # in the place of those that were read before
    assert (late.notes, late.ended) == ([], 1)


def flaky(times: int, error: type[Exception] = ConnectionError) -> Callable[[int], int]:
    """Raises so often, then answers."""
    left = [times]

    def ask(item: int) -> int:
        if left[0]:
            left[0] -= 1
            raise error("not now")
        return item

    return ask


def test_listed_errors_run_again() -> None:
    assert body(flaky(3), retries=QUICK).call((5,), {}) == 5
    assert batch(flaky(2), [5, 6], retries=QUICK).values == [5, 6]
    with pytest.raises(ConnectionError):
        body(flaky(4), retries=QUICK).call((5,), {})
    with pytest.raises(KeyError):  # of another type: at once
        body(flaky(1, KeyError), retries=QUICK).call((5,), {})


def test_coroutine_functions_are_awaited_together() -> None:
    assert body(add).call((1,), {}) == 2
    assert batch(add, [1, 2]).values == [2, 3]
    assert body(add).batch([1, 2], {"plus": 5}, BatchMode()).values == [6, 7]
    assert batch(add, [1, 2], concurrency=2).values == [2, 3]
    barrier = asyncio.Barrier(3)

    async def meet(item: int) -> int:
        await barrier.wait()  # comes back only when three calls wait at the same time
        return item

    assert batch(meet, [1, 2, 3], timeout_s=30).values == [1, 2, 3]


def test_an_error_of_a_coroutine_stands_in_its_place() -> None:
    async def picky(item: int) -> int:
        if item == 2:
            raise KeyError("two")
        if item == 3:
            await asyncio.Event().wait()  # for ever
        return item

    values = batch(picky, [1, 2, 3, 4], BatchMode(keeps_going=True), timeout_s=0.1).values
    assert (values[0], values[3]) == (1, 4)
    assert isinstance(values[1], Failure)
    assert isinstance(values[1].error, KeyError)
    assert isinstance(values[2], Failure)
    assert "picky took longer than 0.1 s" in str(values[2].error)
    assert len(batch(picky, [1, 2, 4]).values) == 2
    left = [2]

    async def shaky(item: int) -> int:
        if left[0]:
            left[0] -= 1
            raise ConnectionError
        return item

    assert batch(shaky, [1], retries=QUICK).values == [1]


def test_generators_of_both_kinds_stream() -> None:
    def up(to: int) -> Iterator[int]:
        yield from range(to)

    async def later(to: int) -> AsyncIterator[int]:
        for value in range(to):
            await asyncio.sleep(0)
            yield value

    assert body(up).is_stream
    assert body(later).is_stream
    assert not body(add).is_stream
    assert list(body(up).stream((3,), {})) == [0, 1, 2]
    assert list(body(later).stream((3,), {})) == [0, 1, 2]


def test_an_error_that_cannot_travel_comes_back_as_words() -> None:
    class Odd(Exception):
        def __init__(self, code: int, lock: object) -> None:
            super().__init__(f"code {code}")
            self.lock = lock

    def fail(item: int) -> None:
        raise Odd(item, Lock())

    (failure,) = batch(fail, [7]).values
    assert isinstance(failure, Failure)
    assert str(failure.error).startswith("Odd: code 7")
    assert "in fail" in failure.frames


def test_a_missing_package_names_its_cure() -> None:
    def needs(item: int) -> int:
        import a_package_nobody_has.part  # type: ignore[import-not-found]

        return int(a_package_nobody_has.part.f(item))

    (failure,) = batch(needs, [7]).values
    assert isinstance(failure, Failure)
    assert "'a_package_nobody_has': name its package in @function(packages=[...])" in failure.error.__notes__[0]


def test_the_size_of_an_item_counts_arrays_whole() -> None:
    block = np.zeros(100_000)
    assert batch(lambda item: item, [block]).item_bytes >= block.nbytes
    assert batch(lambda item: item, [1]).item_bytes < 1000
