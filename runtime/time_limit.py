"""Ends work that takes too long: first by an error in it, then, where that does not help, by the end of its process."""

from __future__ import annotations

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 1.0  # between the error and the end of the process


@contextmanager
def time_limit(timeout_s: float | None, name: str, *, hard: bool = False) -> Iterator[None]:
    """Raises `TimeoutError` in the block after `timeout_s`; None means no limit.

    Uses the alarm signal, which Python delivers between two steps of its own code. Native code that never returns is
    not reached by it: with `hard` the whole process then ends, `GRACE_S` later, its frames on stderr.
    """
    if timeout_s is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signal: int, _frame: object) -> None:
        raise too_long(name, timeout_s)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    if hard:  # faulthandler's watchdog is a native thread: it needs no turn of Python's to act
        faulthandler.dump_traceback_later(timeout_s + GRACE_S, exit=True, file=2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if hard:
            faulthandler.cancel_dump_traceback_later()


def too_long(name: str, timeout_s: float) -> TimeoutError:
    """The error that says which limit was passed."""
    return TimeoutError(f"{name} took longer than {timeout_s:g} s: raise timeout_s, or hand it less work")
