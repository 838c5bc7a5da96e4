"""Who drives a run on this machine: a lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...runtime.errors import InputError, StorageError


def owner() -> str:
    """This process's name in the catalog."""
    return f"{socket.gethostname()}:{os.getpid()}"


@contextmanager
def driving(home: Path, run_id: str) -> Iterator[None]:
    """Holds the run; raises `InputError` where another process of this machine drives it."""
    path = _path(home, run_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror}): set EAGLERAY_HOME to a writable folder") from None
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: what it has forked does not hold it
        except OSError:
            raise InputError(
                f"run {run_id[:8]} still goes on in another process: wait for it, or end that one"
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def is_driven(home: Path, run_id: str, by: str) -> bool:
    """Whether the process that began a run still drives it; of another machine's nobody here can know, so true."""
    if by.rpartition(":")[0] != socket.gethostname():
        return True
    if by == owner():
        return _path(home, run_id).exists()
    with suppress(OSError):
        handle = os.open(_path(home, run_id), os.O_RDWR)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
    return False


def _path(home: Path, run_id: str) -> Path:
    return home / "pipelines" / "driven" / run_id
