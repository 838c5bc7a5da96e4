"""Runs the calls of a pipeline in this process: independent ones on threads, one that is alone on the caller's own."""

from __future__ import annotations

import copy
import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ...runtime.failure import told
from ...runtime.task_body import Body
from ...runtime.time_limit import too_long
from .call import Call, Compound, Ended, Given, Input, Stored, at_path
from .child_runs import ChildRuns
from .contents import Contents
from .step_body import StepBody

_POLL_S = 0.05
_STOP_S = 5.0
# Nobody can change these: every step may have the very object.
_FIXED = {"builtins.NoneType", "builtins.bool", "builtins.int", "builtins.float", "builtins.str", "builtins.bytes",
          "polars.dataframe.frame.DataFrame", "pyarrow.lib.Table"}  # fmt: skip

# Parameters and constants of these are copied for each step.
_CHANGING = {"builtins.list", "builtins.dict", "builtins.set", "builtins.bytearray", "numpy.ndarray",
             "pandas.core.frame.DataFrame", "pandas.DataFrame", "pandas.Series"}  # fmt: skip


@dataclass(slots=True)
class _Watched:
    """A thread inside the user's code, and when its time is up."""

    deadline: float | None
    error: BaseException | None


class ThreadCrew:
    """See `call.Crew`. A step whose time is up, or that Ctrl-C ends, is interrupted when it is next in Python code.

    What a step returns is given to the next one as it is where nothing can change it or nobody else will ask for it,
    else as a copy, so that no step sees what another does to its input.
    """

    def __init__(
        self, contents: Contents, body_of: Callable[[Any], StepBody], runs: ChildRuns | None, *, at_once: int | None
    ) -> None:
        self._contents, self._body_of, self._runs = contents, body_of, runs
        self.at_once = at_once or max(4, os.cpu_count() or 1)
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._threads: dict[threading.Thread, Call] = {}
        self._inside: dict[int, _Watched] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._values: dict[str, Any] = {}

    def start(self, call: Call, *, alone: bool) -> None:
        """Begins a call, or where it is alone runs it: then Ctrl-C and debuggers find it on the caller's thread."""
        if alone and threading.current_thread() is threading.main_thread():
            ended = self._run(call, on_main=True)
            if ended.error is not None and not isinstance(ended.error, Exception):
                raise ended.error
            self._ended.put(ended)
            return
        thread = threading.Thread(target=self._run_on_thread, args=(call,), name=f"step {call.name}", daemon=True)
        with self._lock:
            self._threads[thread] = call
        thread.start()

    def wait(self) -> list[Ended]:
        """Waits until some have ended; meanwhile it looks after their time limits."""
        ended: list[Ended] = []
        while not ended:
            try:
                ended.append(self._ended.get(timeout=self._rest_s()))
            except queue.Empty:
                self._interrupt_overdue()
        while not self._ended.empty():
            ended.append(self._ended.get())
        return ended

    def value(self, wanted: Input) -> Any:
        """The value, made of outputs where it is compound."""
        if isinstance(wanted, Given):
            return copy.deepcopy(wanted.value) if _is_changing(wanted.value) else wanted.value
        if isinstance(wanted, Compound):
            return wanted.fill([self.value(one) for one in wanted.parts])
        return at_path(self._output(wanted), wanted.path, wanted.of)

    def forget(self, ref: str) -> None:
        """Lets the value go."""
        self._values.pop(ref, None)

    def stop(self) -> None:
        """Interrupts the threads and waits for them some seconds; one in native code ends when it is back."""
        deadline = time.monotonic() + _STOP_S
        with self._lock:
            self._stopping = True
        while (left := [one for one in list(self._threads) if one.is_alive()]) and time.monotonic() < deadline:
            with self._lock:
                for ident, watched in self._inside.items():
                    if watched.error is None:
                        self._raise_in(ident, watched, KeyboardInterrupt())
            left[0].join(_POLL_S)

    def _output(self, wanted: Stored) -> Any:
        if wanted.ref in self._values:
            value = self._values[wanted.ref]
            if wanted.alone or _is_fixed(value):
                return value
        return self._contents.get(wanted.ref)

    def _run_on_thread(self, call: Call) -> None:
        try:
            ended = self._run(call, on_main=False)
        except BaseException as error:  # noqa: BLE001 - what else there is must not leave the waiting one waiting
            ended = Ended(call, error=KeyboardInterrupt() if isinstance(error, _Interrupt) else error)
        with self._lock:
            self._threads.pop(threading.current_thread(), None)
        self._ended.put(ended)

    def _run(self, call: Call, *, on_main: bool) -> Ended:
        run_id = ""
        try:
            args = tuple(self.value(one) for one in call.args)
            kwargs = {name: self.value(one) for name, one in call.kwargs}
            run_id = self._runs.begin(call) if self._runs is not None else ""
            spec = call.node.spec
            step, limit_s = self._body_of(call.node), None if on_main else spec.timeout_s

            def attempt() -> Any:
                with self._watching(call.name, limit_s):
                    return step(run_id, args, kwargs)

            # On the main thread the body's own alarm is the time limit.
            value = Body(attempt, spec if on_main else replace(spec, timeout_s=None)).call((), {})
            kept = self._contents.put(value)
            if call.takers == 1 or _is_fixed(value):
                self._values[kept.ref] = value
            if self._runs is not None:
                self._runs.end(run_id, None, about=f"{kept.about} #{kept.ref[:8]}")
        except BaseException as error:  # noqa: BLE001 - whatever ends the step is told by who waits for it
            if isinstance(error, Exception):
                told(error)
            if self._runs is not None and run_id:
                self._runs.end(run_id, error)
            return Ended(call, error=error, tracked=run_id)
        return Ended(call, kept, tracked=run_id)

    @contextmanager
    def _watching(self, name: str, limit_s: float | None) -> Iterator[None]:
        """Inside, the thread can be interrupted; the interrupt is told as what it is for."""
        ident = threading.get_ident()
        watched = _Watched(None if limit_s is None else time.monotonic() + limit_s, None)
        with self._lock:
            if self._stopping:
                raise KeyboardInterrupt
            self._inside[ident] = watched
        try:
            try:
                yield
            finally:
                with self._lock:
                    self._inside.pop(ident, None)
        except _Interrupt:  # it may also come while the lines above wait for the lock
            with self._lock:
                self._inside.pop(ident, None)
        if isinstance(watched.error, TimeoutError):
            raise too_long(name, limit_s or 0.0)
        if watched.error is not None:
            raise watched.error

    def _rest_s(self) -> float:
        with self._lock:
            limits = [one.deadline for one in self._inside.values() if one.deadline is not None]
        # A thread that begins after this look may have a limit, too.
        return max(0.0, min([_POLL_S, *(limit - time.monotonic() for limit in limits)]))

    def _interrupt_overdue(self) -> None:
        now = time.monotonic()
        with self._lock:
            for ident, watched in self._inside.items():
                if watched.error is None and watched.deadline is not None and watched.deadline <= now:
                    self._raise_in(ident, watched, TimeoutError())

    def _raise_in(self, ident: int, watched: _Watched, error: BaseException) -> None:
        watched.error = error
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(_Interrupt))


class _Interrupt(BaseException):
    """Raised in a thread from outside; no `except Exception` of the user's takes it for an error of their own."""


def _is_fixed(value: object) -> bool:
    return _named(value) in _FIXED


def _is_changing(value: object) -> bool:
    return _named(value) in _CHANGING


def _named(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
