"""Calls a function for a service's event loop: at once where it is quick, in a thread where it would hold up others."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

QUICK_S = 0.002  # what a call may hold up the loop
_BACK_S = QUICK_S / 2  # a function that was slow must be well below it to come back
_MEMORY = 0.2  # the newest call's share in what is known of the function's time


class Runner:
    """One function of one process. `threads` calls of a slow one run at the same time.

    A hop to a thread costs some 50 us, more than many functions; so a function's own time is measured, with every call,
    and decides. The first call goes to a thread, for it may load things.
    """

    def __init__(self, fn: Callable[..., Any], *, threads: int) -> None:
        self._fn = fn
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="eagleray-call")
        self._typical_s = QUICK_S * 2
        self._is_quick = False

    @property
    def is_quick(self) -> bool:
        """True while calls run in the loop itself."""
        return self._is_quick

    async def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of one call; raises what it raises."""
        if self.is_async:
            return await self._fn(*args, **kwargs)
        if self._is_quick:
            return self._timed(args, kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, args, kwargs)

    def close(self) -> None:
        """Ends the threads once they have done what they hold."""
        self._threads.shutdown(wait=False)

    def _timed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = time.perf_counter()
        try:
            return self._fn(*args, **kwargs)
        finally:
            spent = time.perf_counter() - began
            self._typical_s += _MEMORY * (spent - self._typical_s)
            if spent > 10 * QUICK_S:  # one such call is proof enough
                self._typical_s = max(self._typical_s, 2 * QUICK_S)
            self._is_quick = self._typical_s < (QUICK_S if self._is_quick else _BACK_S)
