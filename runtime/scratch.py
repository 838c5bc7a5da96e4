"""Folders for temporary files: gone when their block ends or, after a kill, when the next one begins."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """An empty folder of that kind, of letters, among the temporary files; what killed processes left there goes first.

    Its process holds the folder's lock, and gives it back however it ends. Raises `OSError` where none can be made.
    """
    for left in Path(tempfile.gettempdir()).glob(f"eagleray-{kind}-*"):
        _remove_if_abandoned(left)
    # It has its name once it is locked: until then it looks abandoned.
    fresh = Path(tempfile.mkdtemp(prefix=f"eagleray-new-{kind}-"))
    lock = os.open(fresh, os.O_RDONLY)
    folder = fresh
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = fresh.rename(fresh.with_name(fresh.name.replace("-new-", "-", 1)))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_if_abandoned(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another user's, or gone by now
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
