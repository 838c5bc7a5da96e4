"""What runs on a worker around the user's function: the time limit, a batch of calls, and what comes back.

Knows no Ray, so that it runs in a test as it runs on a worker.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class WorkerTraceback(Exception):
    """The frames of an error on its worker, the user's own first; shown above the error as its cause."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f"on a worker:\n{self.text}"


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of one call and its frames as text (a traceback itself does not travel)."""

    error: Exception
    frames: str

    def as_raised(self) -> Exception:
        """The user's own error, with the worker's frames as its cause."""
        self.error.__cause__ = WorkerTraceback(self.frames)
        return self.error


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """Results of a batch up to its first failure, the seconds they took, and the size of one item and its result."""

    values: list[R]
    spent_s: float
    item_bytes: int
    failure: Failure | None = None


def call(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], timeout_s: float | None) -> Any:
    """Calls `fn` (a coroutine function too); raises `TimeoutError` when it takes longer than `timeout_s`."""
    with time_limit(timeout_s, getattr(fn, "__name__", "the function")):
        result = fn(*args, **kwargs)
        return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


def call_batch(fn: Callable[..., R], items: Sequence[Any], timeout_s: float | None) -> Outcome[R]:
    """Calls `fn` for each item, the time limit for each; stops at the first error, which comes back as a value."""
    values: list[R] = []
    plain = timeout_s is None and not inspect.iscoroutinefunction(fn)
    start = time.perf_counter()
    failure = None
    try:
        for item in items:
            values.append(fn(item) if plain else call(fn, (item,), {}, timeout_s))  # noqa: PERF401 - an error must leave them
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises belongs to the caller
        failure = _failure(error)
    spent_s = time.perf_counter() - start
    sample = (items[0], values[0]) if values else (items[0] if items else None)
    return Outcome(values, spent_s, _pickled_bytes(sample), failure)


@contextmanager
def time_limit(timeout_s: float | None, name: str) -> Iterator[None]:
    """Raises `TimeoutError` in the block after `timeout_s`; None means no limit.

    Uses the alarm signal, which Python delivers between two steps of its own code: a call into native code
    that never returns is not interrupted.
    """
    if timeout_s is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"{name} took longer than {timeout_s:g} s: raise timeout_s, or hand it less work")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def _awaited(result: Any) -> Any:
    return await result


def _failure(error: Exception) -> Failure:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next  # the user's own frame comes first
    frames = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    error.__traceback__ = None
    if not _travels(error):
        error = RuntimeError(f"{type(error).__name__}: {error} (an error of this type cannot travel between processes)")
    return Failure(error, frames)


def _travels(error: Exception) -> bool:
    """False for an error that cannot be pickled or, its constructor taking other arguments, not be read back."""
    import cloudpickle

    try:
        return isinstance(cloudpickle.loads(cloudpickle.dumps(error)), Exception)
    except Exception:  # noqa: BLE001 - any reducer may refuse in its own way, and refusing is the answer here
        return False


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
