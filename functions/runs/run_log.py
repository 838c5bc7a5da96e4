"""What a run prints and logs, kept beside the terminal: standard output, standard error, `logging`."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ...runtime.secret import masked

MOST_CHARACTERS = 4 << 20
_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
_lock = threading.RLock()
_users = 0


class RunLog:
    """The end of what was written (4 Mi characters), and how much before it was left out."""

    def __init__(self) -> None:
        self._parts: deque[str] = deque()
        self._held = self._dropped = 0

    def add(self, text: str) -> None:
        """Appends; the oldest goes where there is too much."""
        with _lock:
            self._parts.append(text)
            self._held += len(text)
            while self._held > MOST_CHARACTERS and len(self._parts) > 1:
                gone = len(self._parts.popleft())
                self._held -= gone
                self._dropped += gone

    def text(self) -> str:
        """All that is kept."""
        with _lock:
            head = f"... {self._dropped} characters left out ...\n" if self._dropped else ""
            return head + "".join(self._parts)


@contextmanager
def capturing(where: Callable[[], RunLog | None]) -> Iterator[None]:
    """Inside, what is written goes also to the log that `where` names at that moment (runs may be side by side)."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _install(where)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _uninstall()


class _Tee:
    """A stream that also writes to the current run's log; all else is the stream's own."""

    def __init__(self, stream: TextIO, where: Callable[[], RunLog | None]) -> None:
        self.stream, self._where = stream, where

    def write(self, text: str) -> int:
        text = masked(text)  # what goes on to a worker's log file or a terminal holds no secret either
        log = self._where()
        if log is not None:
            log.add(text)
        self.stream.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Handler(logging.Handler):
    """Log records that no handler writes to a captured stream anyway."""

    def __init__(self, where: Callable[[], RunLog | None]) -> None:
        super().__init__()
        self._where = where

    def emit(self, record: logging.LogRecord) -> None:
        others = [other for other in logging.getLogger().handlers if other is not self]
        if any(isinstance(getattr(other, "stream", None), _Tee) for other in others):
            return
        log = self._where()
        if log is not None:
            log.add(_FORMAT.format(record) + "\n")
        if not others and isinstance(sys.stderr, _Tee) and record.levelno >= logging.WARNING:
            # What Python does where nobody has set up logging; a handler, even ours, ends that.
            sys.stderr.stream.write(record.getMessage() + "\n")


def _install(where: Callable[[], RunLog | None]) -> None:
    sys.stdout, sys.stderr = _Tee(sys.stdout, where), _Tee(sys.stderr, where)
    logging.getLogger().addHandler(_Handler(where))


def _uninstall() -> None:
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(handler)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, _Tee):  # the function may have put another in its place
            setattr(sys, name, stream.stream)
