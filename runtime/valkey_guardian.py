"""The process that owns one embedded Valkey server: starts it, restarts it, stops it after its last user.

Run as `python -m eagleray.runtime.valkey_guardian FOLDER PROGRAM`; standard library only, so that it costs
some 10 MB. See valkey_server.py for the locks.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

POLL_S = 0.1
SYNC_S = 1.0  # the machine's end costs at most so much
START_TIMEOUT_S = 20.0


def main(folder: Path, program: str) -> int:
    """Guards one server until nobody uses it; says "ready" on stdout once it serves; the exit status."""
    if os.fork():
        os._exit(0)  # the launcher has no child to wait for: the guardian outlives it
    os.setsid()  # Ctrl-C in the launcher's terminal is for the users; the guardian goes when they have gone
    guard = os.open(folder / "guardian.lock", os.O_RDWR | os.O_CREAT, 0o600)
    # Waits for an earlier guardian that is still stopping its server.
    fcntl.flock(guard, fcntl.LOCK_EX)
    (folder / "server.json").unlink(missing_ok=True)
    password = secrets.token_urlsafe(24)
    server, port = _start_anywhere(folder, program, password=password)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    _publish(folder, port=port, password=password)
    _say_ready()
    users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    threading.Thread(target=_sync_for_ever, args=(folder,), daemon=True).start()
    try:
        while not stopped.wait(POLL_S) and _needed(folder, users):
            if server.poll() is not None:
                # It was killed, or ran out of memory: its users find it again at the same address, data and all.
                server = _start(folder, program, port=port, password=password)
        return 0
    finally:
        (folder / "server.json").unlink(missing_ok=True)
        server.terminate()  # SIGTERM makes Valkey flush its append-only file first
        server.wait(30)


def _sync_for_ever(folder: Path) -> None:
    while True:
        time.sleep(SYNC_S)
        try:
            sync(folder)
        except OSError as error:  # the server will stumble over it, too; whoever looks for the reason finds it there
            with open(folder / "server.log", "a") as log:
                log.write(f"the append-only file cannot be synced: {error}\n")


def sync(folder: Path) -> int:
    """Has the disk take what the server has written so far; of how many files."""
    done = 0
    for path in (folder / "appendonlydir").glob("*.incr.aof"):
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # rewritten just now; the server synced what it made of it
        try:
            getattr(os, "fdatasync", os.fsync)(file)
        finally:
            os.close(file)
        done += 1
    return done


def _needed(folder: Path, users: int) -> bool:
    if (folder / "keep").exists():
        return True
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False  # held until this process ends: a new user waits for that and then starts a fresh server


def _say_ready() -> None:
    os.write(1, b"ready\n")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)  # the launcher reads to the end of this pipe
    os.close(nothing)


def _start_anywhere(folder: Path, program: str, *, password: str) -> tuple[subprocess.Popen[bytes], int]:
    for attempt in range(5):
        port = _free_port()
        try:
            return _start(folder, program, port=port, password=password), port
        except ChildProcessError:
            # Somebody else may have taken the port between the look and the start.
            if attempt == 4:
                raise
    raise AssertionError


def _start(folder: Path, program: str, *, port: int, password: str) -> subprocess.Popen[bytes]:
    config = folder / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(_config(folder, port=port, password=password))
    with open(folder / "server.log", "ab") as log:
        server = subprocess.Popen([program, str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    if _answers(server, port=port, password=password):
        return server
    server.terminate()
    server.wait(10)
    raise ChildProcessError(f"valkey-server ended with {server.returncode}; its log: {folder / 'server.log'}")


def _config(folder: Path, *, port: int, password: str) -> str:
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": _quoted(str(folder)),
        "appendonly": "yes",
        # Every second, but by us: with "everysec" the server answers before it writes while its disk syncs, so that
        # what kills it then takes writes along that were answered. This way it always writes first.
        "appendfsync": "no",
        "save": '""',
        "loglevel": "warning",
        "tcp-keepalive": 60,
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _answers(server: subprocess.Popen[bytes], *, port: int, password: str) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
                answers = connection.makefile("rb")
                # While the append-only file loads, AUTH succeeds but PING is answered with an error.
                if answers.readline().startswith(b"+OK") and answers.readline().startswith(b"+PONG"):
                    return True
        except OSError:
            pass
        time.sleep(0.01)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _publish(folder: Path, *, port: int, password: str) -> None:
    scratch = folder / "server.json.new"
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps({"port": port, "password": password}))
    scratch.replace(folder / "server.json")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
