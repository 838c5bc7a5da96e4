"""A Ray that stays, used from programs of their own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .. import forked

T = TypeVar("T")


def program(home: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return forked.run(*words, environment=environment(home), given=given)


def environment(home: Path) -> dict[str, str]:
    """That of a user's program, whose home it is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HF_"))}
    return kept | {"EAGLERAY_HOME": str(home)}


def eagleray(home: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return program(home, "-m", "eagleray.cli", *words, given=given)


def awaited(look: Callable[[], T], timeout_s: float = 90.0) -> T:
    """What `look` gives once it gives something that is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {timeout_s} s"
        threading.Event().wait(0.05)
    return found
