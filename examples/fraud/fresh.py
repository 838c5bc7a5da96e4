"""A home folder of the demo's own: emptied at the start, kept after the end, never shared with another run."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eagleray import InputError, StorageError


@contextmanager
def fresh_home(home: Path) -> Iterator[Path]:
    """The folder `demo` in `home`, empty; raises `InputError` while another demo runs there."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = open(home / "demo.lock", "w")  # noqa: SIM115 - closed below; here only a refusal is translated
    except OSError as error:
        raise StorageError(
            f"cannot write {home}: {error.strerror}; set EAGLERAY_HOME to a folder you can write"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another demo runs in {home}: let it end, or set EAGLERAY_HOME to another folder"
            ) from None
        shutil.rmtree(home / "demo", ignore_errors=True)
        yield home / "demo"
