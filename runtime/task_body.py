"""What runs on a worker around the user's function: time limit, retries, a batch of calls, and what comes back.

Knows no Ray, so that it runs in a test as it runs on a worker.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

from .call_options import CallOptions
from .errors import ServerUnavailable
from .failure import Failure, failure_of
from .time_limit import time_limit, too_long

R = TypeVar("R")

ASYNC_AT_ONCE = 100  # coroutines of a batch that wait at the same time


class Watch(Protocol):
    """A note outside the process of what it works on, for the attempt after one that was ended by its time limit."""

    def overdue(self) -> int | None:
        """The place in its batch of the call that an earlier attempt was ended in; None for none."""
        ...

    @property
    def place(self) -> int:
        """Where in its batch, or after how many values, an earlier attempt ended."""
        ...

    def begin(self, place: int) -> None:
        """Work on the call at that place begins."""
        ...

    def advance(self, place: int) -> None:
        """The same work goes on, so many values having been handed over."""
        ...

    def end(self) -> None:
        """All work of this attempt is done."""
        ...


@dataclass(frozen=True, slots=True)
class BatchMode:
    """`starred`: an item is a tuple of arguments. `keeps_going`: an error takes its item's place, the rest goes on.
    `discards`: results are not sent back."""

    starred: bool = False
    keeps_going: bool = False
    discards: bool = False


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """One entry an item (its result, or why there is none), the seconds they took, the size of one item and its result.

    It ends with the first failure unless the batch keeps going.
    """

    values: list[R | Failure]
    spent_s: float
    item_bytes: int


@dataclass(frozen=True, slots=True)
class Body(Generic[R]):
    """How a worker calls one function; `watch` is there where a process may be ended for its time limit."""

    fn: Callable[..., R]
    options: CallOptions
    watch: Callable[[CallOptions], Watch] | None = None

    @property
    def is_plain(self) -> bool:
        """True when calling the body is calling the function and nothing else."""
        options = self.options
        return options.timeout_s is None and not options.retries.on and not _is_async(self.fn)

    @property
    def is_stream(self) -> bool:
        """True for generator functions."""
        return inspect.isgeneratorfunction(_code_of(self.fn)) or inspect.isasyncgenfunction(_code_of(self.fn))

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> R:
        """One call (a coroutine is awaited); raises `TimeoutError` when it takes longer than its limit."""
        if self.is_plain:
            return self.fn(*args, **kwargs)
        watch = self._watched()
        if watch is not None and watch.overdue() is not None:
            raise self._too_long()
        try:
            return self._one(args, kwargs, watch, 0)
        finally:
            if watch is not None:
                watch.end()

    def stream(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Any]:
        """What a generator function yields, one by one; the limit is that of the whole."""
        watch = self._watched()
        try:
            if watch is not None:
                yield from self._given_up(watch)
                watch.begin(0)
            with time_limit(self.options.timeout_s, self.options.name, hard=watch is not None):
                made: Any = self.fn(*args, **kwargs)
                for done, value in enumerate(_stepped(made) if inspect.isasyncgen(made) else made, start=1):
                    yield value
                    if watch is not None:
                        watch.advance(done)
        finally:
            if watch is not None:
                watch.end()

    def _given_up(self, watch: Watch) -> Iterator[None]:
        """Ends an attempt that only has to say why the one before it ended.

        The reader has that one's values and waits for the next by its number, so as many come before the error.
        """
        try:
            if watch.overdue() is not None:
                raise self._too_long()
        except (TimeoutError, ServerUnavailable):
            yield from [None] * watch.place
            raise

    def batch(self, items: Sequence[Any], shared: Mapping[str, Any], mode: BatchMode) -> Outcome[R]:
        """A call an item, with `shared` as further keyword arguments; errors come back as values."""
        start = time.perf_counter()
        if _is_async(self.fn) and self.options.concurrency is None:
            values = asyncio.run(self._gathered(items, shared, mode))
        else:
            values = self._in_turn(items, shared, mode)
        spent_s = time.perf_counter() - start
        sample = (items[0], values[0]) if values else None
        return Outcome(values, spent_s, _pickled_bytes(sample))

    def _in_turn(self, items: Sequence[Any], shared: Mapping[str, Any], mode: BatchMode) -> list[R | Failure]:
        values: list[Any] = []
        watch = self._watched()
        overdue = watch.overdue() if watch is not None else None
        plain = self.is_plain and not mode.starred and not shared
        fn = self.fn
        for place, item in enumerate(items):
            try:
                if place == overdue:
                    raise self._too_long()
                args = item if mode.starred else (item,)
                value = fn(item) if plain else self._one(args, shared, watch, place)
            except Exception as error:  # noqa: BLE001 - whatever the user's code raises belongs to the caller
                values.append(failure_of(error))
                if not mode.keeps_going:
                    break
            else:
                values.append(None if mode.discards else value)
        if watch is not None:
            watch.end()
        return values

    async def _gathered(self, items: Sequence[Any], shared: Mapping[str, Any], mode: BatchMode) -> list[R | Failure]:
        free = asyncio.Semaphore(ASYNC_AT_ONCE)
        fn: Callable[..., Any] = self.fn

        async def one(item: Any) -> Any:
            args = item if mode.starred else (item,)
            async with free:
                for attempt in count():
                    try:
                        value = await asyncio.wait_for(fn(*args, **shared), self.options.timeout_s)
                    except Exception as error:  # noqa: BLE001 - as above
                        if self._gives_up(error, attempt):
                            is_limit = isinstance(error, TimeoutError) and self.options.timeout_s is not None
                            return failure_of(self._too_long() if is_limit and not str(error) else error)
                        await asyncio.sleep(self.options.retries.delay_s(attempt))
                    else:
                        return None if mode.discards else value
            raise AssertionError  # the loop above ends by returning

        values = await asyncio.gather(*(one(item) for item in items))
        if not mode.keeps_going:
            failed = next((place for place, value in enumerate(values) if isinstance(value, Failure)), None)
            values = values if failed is None else values[: failed + 1]
        return values

    def _one(self, args: Sequence[Any], kwargs: Mapping[str, Any], watch: Watch | None, place: int) -> R:
        options = self.options
        for attempt in count():
            if watch is not None:
                watch.begin(place)
            try:
                with time_limit(options.timeout_s, options.name, hard=watch is not None):
                    result: Any = self.fn(*args, **kwargs)
                    if inspect.isawaitable(result):
                        result = asyncio.run(_awaited(result))
                    found: R = result
                    return found
            except Exception as error:
                if self._gives_up(error, attempt):
                    raise
            time.sleep(options.retries.delay_s(attempt))
        raise AssertionError  # the loop above ends by returning or raising

    def _gives_up(self, error: Exception, attempt: int) -> bool:
        retries = self.options.retries
        return not isinstance(error, retries.on) or attempt >= retries.attempts

    def _watched(self) -> Watch | None:
        return None if self.watch is None or self.options.timeout_s is None else self.watch(self.options)

    def _too_long(self) -> TimeoutError:
        return too_long(self.options.name, self.options.timeout_s or 0.0)


def _code_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose kind tells what a call gives: an object's is that of its class's `__call__`."""
    found: Callable[..., Any] = getattr(fn, "called", fn)
    return found


def _is_async(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(_code_of(fn))


async def _awaited(result: Any) -> Any:
    return await result


def _stepped(made: AsyncIterator[Any]) -> Iterator[Any]:
    """An asynchronous generator's values, its loop running while one is asked for."""
    with asyncio.Runner() as runner:
        while True:
            try:
                value = runner.run(_awaited(anext(made)))
            except StopAsyncIteration:
                return
            yield value


def _pickled_bytes(value: object) -> int:
    """About how many bytes `value` takes on its way; 0 when it cannot be pickled (the sender then says so)."""
    import cloudpickle

    buffers: list[Any] = []
    try:
        # Out-of-band buffers: a large array is measured without being copied.
        head = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except Exception:  # noqa: BLE001 - any reducer may refuse in its own way, and refusing is the answer here
        return 0
    return int(len(head) + sum(buffer.raw().nbytes for buffer in buffers))
