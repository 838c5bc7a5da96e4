"""The run that the code at hand is part of; outside a run `log_metric` and the others do nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...runtime.errors import InputError
from ...runtime.secret import masked
from .run import Run
from .run_log import RunLog, capturing

Point = tuple[str, float, int, int]  # name, value, step, milliseconds since 1970
FLUSH_POINTS = 100
FLUSH_S = 1.0


class Store(Protocol):
    """What an open run is written to."""

    def write(self, run_id: str, run: Run) -> None: ...

    def add_points(self, run_id: str, points: list[Point]) -> None: ...


@dataclass(slots=True)
class CurrentRun:
    """An open run; points of metrics are written 100 at a time, or after a second, and at the end."""

    id: str
    experiment: str
    store: Store = field(repr=False)
    log: RunLog = field(default_factory=RunLog, repr=False)
    _points: list[Point] = field(default_factory=list, repr=False)
    _steps: dict[str, int] = field(default_factory=dict, repr=False)
    _flushed_s: float = field(default_factory=time.monotonic, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def log_metric(self, name: str, value: float, *, step: int | None = None) -> None:
        """Adds a point of a metric; without `step` it is the one after the last."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise InputError(f"metric {name!r} is {type(value).__name__}, no number: log_param takes texts") from None
        with self._lock:
            at = self._steps.get(name, -1) + 1 if step is None else step
            self._steps[name] = at
            self._points.append((name, number, at, int(time.time() * 1000)))
            due = len(self._points) >= FLUSH_POINTS or time.monotonic() - self._flushed_s > FLUSH_S
        if due:
            self.flush()

    def log_param(self, name: str, value: object) -> None:
        """Adds a parameter; MLflow lets nobody change one."""
        self.store.write(self.id, Run(self.experiment, params={name: masked(str(value))}))

    def log_artifact(self, path: str | Path, data: bytes | str | None = None) -> None:
        """Adds a file: that at `path` under its own name, or `data` as a file of that name."""
        if data is None:
            source = Path(path)
            try:
                content = source.read_bytes()
            except OSError as error:
                raise InputError(f"cannot read {source} ({error.strerror}): give a file, or its content") from None
            name = source.name
        else:
            name = str(path)
            content = masked(data).encode() if isinstance(data, str) else data
        self.store.write(self.id, Run(self.experiment, artifacts={name: content}))

    def flush(self) -> None:
        """Writes what is still held back."""
        with self._lock:
            points, self._points = self._points, []
            self._flushed_s = time.monotonic()
        if points:
            self.store.add_points(self.id, points)


_here: ContextVar[CurrentRun | None] = ContextVar("eagleray_run", default=None)
_open: list[CurrentRun] = []


def current_run() -> CurrentRun | None:
    """The run this code is part of; None outside one. A thread of the function's own counts where one run is open."""
    found = _here.get()
    if found is None and len(_open) == 1:
        return _open[0]
    return found


@contextmanager
def entered(run: CurrentRun) -> Iterator[None]:
    """Inside, `run` is the current one, and what is printed or logged goes into its log too."""
    token = _here.set(run)
    _open.append(run)
    try:
        with capturing(_current_log):
            yield
    finally:
        _open.remove(run)
        _here.reset(token)
        run.flush()


def _current_log() -> RunLog | None:
    run = current_run()
    return None if run is None else run.log


def log_metric(name: str, value: float, *, step: int | None = None) -> None:
    """Adds a point of a metric to the current run; raises `InputError` for what is no number."""
    if (run := current_run()) is not None:
        run.log_metric(name, value, step=step)


def log_param(name: str, value: object) -> None:
    """Adds a parameter to the current run."""
    if (run := current_run()) is not None:
        run.log_param(name, value)


def log_artifact(path: str | Path, data: bytes | str | None = None) -> None:
    """Adds a file to the current run: that at `path`, or `data` as a file of that name."""
    if (run := current_run()) is not None:
        run.log_artifact(path, data)
