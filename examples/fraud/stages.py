"""How the demo tells what it does: a line a stage with its time and its finding, and a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

NAME_WIDTH = 14


@dataclass
class Stage:
    """One stage under way: `progress` shows where it stands, `say` notes what it found, `check` what must hold."""

    name: str
    progress: Callable[[str], None]
    found: str = ""
    broken: list[str] = field(default_factory=list)

    def say(self, found: str) -> None:
        """What the stage's line will tell."""
        self.found = found

    def check(self, held: bool, otherwise: str) -> None:
        """Counts the stage as failed, with the reason, unless `held`."""
        if not held:
            self.broken.append(otherwise)


class Stages:
    """The stages of one run, printed to stderr as they end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.broken: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Times the block; its line says ok or what did not hold."""
        stage, begin = (
            Stage(name, lambda text: self._show(f"  .. {name:<{NAME_WIDTH}} {text}", end="\r")),
            time.perf_counter(),
        )
        stage.progress("")
        yield stage
        self.seconds[name] = round(time.perf_counter() - begin, 2)
        self.broken += [f"{name}: {reason}" for reason in stage.broken]
        mark = "FAILED" if stage.broken else "ok"
        self._show(
            f"  {mark} {name:<{NAME_WIDTH}} {self.seconds[name]:6.1f} s  {'; '.join([stage.found, *stage.broken])}"
        )

    def _show(self, line: str, end: str = "\n") -> None:
        if end == "\r" and not sys.stderr.isatty():
            return
        print(f"\x1b[2K{line}" if sys.stderr.isatty() else line, end=end, file=sys.stderr, flush=True)


def framed(title: str, rows: dict[str, str]) -> str:
    """Two columns in a frame."""
    left, right = max(map(len, rows)), max(map(len, rows.values()))
    bar = "-" * (left + right + 7)
    lines = [f"| {name:<{left}} | {value:<{right}} |" for name, value in rows.items()]
    return "\n".join([title, bar, *lines, bar])
