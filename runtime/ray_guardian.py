"""Ends a local Ray whose owner was killed: `ray_guardian.py FOLDER`, with a pipe from the owner as standard input.

Ray's agents outlive a killed owner for minutes, and a proxy that a worker started outlives it for good. The guardian
waits for the pipe to close, then ends every process that has a file of the session's folder open, and removes the
folder. It needs the standard library and Linux's /proc only, and runs without eagleray.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 1.0
PATIENCE_S = 10.0


def start(folder: Path) -> subprocess.Popen[bytes] | None:
    """A guardian for this process's Ray in `folder`; None where there is no /proc (there Ray has a reaper itself)."""
    if not Path("/proc/self/fd").exists():
        return None
    return subprocess.Popen(
        [sys.executable, "-I", "-S", os.path.abspath(__file__), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C in a terminal reaches the whole group; the guardian has to stay until the owner is gone.
        start_new_session=True,
    )


def dismiss(guardian: subprocess.Popen[bytes] | None) -> None:
    """Tells the guardian that its owner has cleaned up by itself."""
    if guardian is not None and guardian.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            guardian.stdin.write(b".")
            guardian.stdin.close()
        guardian.wait(PATIENCE_S)


def users_of(folder: str) -> list[int]:
    """Processes that have a file below `folder` open, as far as we may look; not this one."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                handles = [f"/proc/{entry}/fd/{handle}" for handle in os.listdir(f"/proc/{entry}/fd")]
                if any(_target(handle).startswith(folder + "/") for handle in handles):
                    found.append(int(entry))
    return found


def _target(handle: str) -> str:
    try:
        return os.readlink(handle)
    except OSError:
        return ""


def _main(folder: str) -> None:
    if sys.stdin.buffer.read(1):
        return
    began = time.monotonic()
    while (left := users_of(folder)) and time.monotonic() - began < PATIENCE_S:
        if time.monotonic() - began > GRACE_S:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[1])
