"""A Ray of this machine that outlives its users: started by `eagleray up`, found by every later process of this home.

Its process (lasting_process.py) holds a lock for as long as it lives, which the kernel gives back however it ends, so
a note that a killed one left behind is never believed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .errors import EaglerayError, ServerUnavailable, StorageError
from .settings import Settings

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
_TRIES = 5
CURE = "run `eagleray up`, or set RAY_ADDRESS"


@dataclass(frozen=True, slots=True)
class Lasting:
    """Where it is: `address` for Ray, `dashboard_url` for pages and jobs, `environment` for processes that join."""

    address: str
    dashboard_url: str
    pid: int
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def find(home: Path) -> Lasting | None:
    """The one of this home; None where none runs."""
    if not _is_held(home):
        return None
    try:
        return Lasting(**json.loads(note_path(home).read_text()))
    except (FileNotFoundError, ValueError):  # it is still starting
        return None


def is_there(settings: Settings) -> bool:
    """True where a Ray runs that does not end with this process: at RAY_ADDRESS, or of this home."""
    return settings.ray_address is not None or find(settings.home) is not None


def start(home: Path, *, num_cpus: int | None = None) -> Lasting:
    """The one of this home, started where none runs; raises `ServerUnavailable`, `StorageError`."""
    found = find(home)
    if found is not None:
        return found
    log = home / "ray" / "lasting.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = open(log, "wb")  # noqa: SIM115 - closed below; another process writes to it
    except OSError as error:
        raise _unwritable(log, error) from None
    command = [sys.executable, "-m", "eagleray.runtime.lasting_process", str(home), str(num_cpus or 0)]
    with output:
        subprocess.run(  # it returns at once: what stays is a child of that process
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"EAGLERAY_HOME": str(home)}, check=False,
        )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and _is_held(home):
        found = find(home)
        if found is not None:
            return found
        time.sleep(0.05)
    lines = log.read_text(errors="replace").strip().splitlines()
    raise ServerUnavailable(f"Ray did not start: {lines[-1] if lines else 'no reason given'}; see {log}")


def stop(home: Path) -> bool:
    """Ends it with all its processes; False where none ran; raises `EaglerayError` where it does not end."""
    if not _is_held(home):
        note_path(home).unlink(missing_ok=True)
        return False
    found = find(home)
    if found is None:
        raise EaglerayError("it is still starting: try again in a moment")
    for number in (signal.SIGTERM, signal.SIGKILL):  # of a killed one the guardian ends the rest
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if not _is_held(home):
                note_path(home).unlink(missing_ok=True)
                return True
            time.sleep(0.05)
    raise EaglerayError(f"process {found.pid} does not end: end it by hand (kill -9)")


def publish(home: Path, found: Lasting) -> None:
    """Lets others find it; the note is whole from the moment it is there."""
    fresh = note_path(home).with_suffix(".new")
    fresh.write_text(json.dumps(asdict(found)))
    fresh.replace(note_path(home))


def hold(home: Path) -> bool:
    """Takes the home's lock for as long as this process lives; False where another has it."""
    lock = _lock_path(home)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(lock, error) from None
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # who only looks whether it is held has it for a moment too
            time.sleep(0.02)
        else:
            return True
    os.close(descriptor)
    return False


def note_path(home: Path) -> Path:
    """The file that tells where it is."""
    return home / "ray" / "lasting.json"


def _lock_path(home: Path) -> Path:
    return home / "ray" / "lasting.lock"


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write {path} ({error.strerror}): set EAGLERAY_HOME to a writable folder")


def _is_held(home: Path) -> bool:
    try:
        descriptor = os.open(_lock_path(home), os.O_RDWR)
    except OSError:  # nobody has started one here, or could
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
