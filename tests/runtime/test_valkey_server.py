"""The embedded server's life: shared by processes, gone with the last of them however it ends, data kept."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from eagleray.runtime import redis_client, valkey_server
from eagleray.runtime.errors import ServerUnavailable, StorageError
from eagleray.runtime.settings import Settings
from eagleray.runtime.valkey_guardian import sync

USER = """
import sys
from pathlib import Path
from eagleray.runtime import redis_client
from eagleray.runtime.settings import Settings
client = redis_client.connect(Settings(home=Path(sys.argv[1])))
client.incr("seen")
print("up", flush=True)
sys.stdin.read()
"""


def user(home: Path) -> subprocess.Popen[str]:
    """Another process that uses the home's server until its stdin closes."""
    process = subprocess.Popen([sys.executable, "-c", USER, str(home)], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def end(process: subprocess.Popen[str], how: int | None = None) -> None:
    """Ends the process by closing its stdin, or by a signal, and reaps it."""
    if how is not None:
        process.send_signal(how)
    process.communicate()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / 'a home\'s "odd" näme'


def test_two_processes_share_one_server_and_the_last_takes_it_along(home: Path) -> None:
    first, second = user(home), user(home)
    port = json.loads((home / "valkey" / "server.json").read_text())["port"]
    end(first)
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        pass
    end(second)
    assert valkey_server.release(home)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


def test_a_guardian_that_ends_while_it_is_looked_at_has_ended(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "valkey").mkdir(parents=True)
    held = [os.open(home / "valkey" / name, os.O_RDWR | os.O_CREAT) for name in ("guardian.lock", "users.lock")]
    for descriptor in held:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # as one that is stopping its server
    look = valkey_server._can_lock

    def ending(path: Path, kind: int) -> bool:
        found = look(path, kind)
        if path.name == "users.lock":
            while held:
                os.close(held.pop())
        return found

    monkeypatch.setattr(valkey_server, "_can_lock", ending)
    assert valkey_server.release(home)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_user_leaves_no_server_and_loses_no_data(home: Path, how: int) -> None:
    end(user(home), how)
    assert valkey_server.release(home)
    with redis_client.connect(Settings(home=home)) as client:
        assert client.get("seen") == b"1"
    assert valkey_server.release(home)


def test_a_kept_server_stays_until_it_is_stopped(home: Path) -> None:
    end_of = user(home)
    valkey_server.keep(home)
    end(end_of)
    assert not valkey_server.release(home)
    with redis_client.connect(Settings(home=home)) as client:
        assert client.get("seen") == b"1"
    assert valkey_server.stop(home)


def test_stop_spares_a_server_in_use(home: Path) -> None:
    other = user(home)
    assert not valkey_server.stop(home)
    end(other)
    assert valkey_server.release(home)


def test_a_server_killed_under_its_users_is_started_again_with_its_data(home: Path) -> None:
    settings = Settings(home=home)
    client = redis_client.connect(settings)
    client.set("a", "1")
    client.config_set("appendfsync", "always")
    client.set("b", "2")
    os.kill(client.info("server")["process_id"], signal.SIGKILL)
    with pytest.raises(ServerUnavailable, match="the next call starts it again"), redis_client.translated(settings):
        client.get("a")
    with redis_client.connect(settings, retries=12) as patient:
        os.kill(patient.info("server")["process_id"], signal.SIGKILL)
        assert patient.get("a") == b"1"
    client.close()
    with redis_client.connect(settings) as again:
        assert again.mget("a", "b") == [b"1", b"2"]
    assert valkey_server.release(home)


def test_it_writes_before_it_answers_and_its_guardian_syncs(home: Path, tmp_path: Path) -> None:
    with redis_client.connect(Settings(home=home)) as client:
        # "everysec" would answer first where the disk is slow to sync, and a kill would take the answered along.
        assert client.config_get("appendfsync") == {"appendfsync": "no"}
        (log,) = (home / "valkey" / "appendonlydir").glob("*.incr.aof")
        for number in range(50):
            client.set("key", f"value-{number}")
            assert f"value-{number}\r\n".encode() in log.read_bytes()
    assert sync(home / "valkey") == 1
    assert sync(tmp_path) == 0
    (home / "valkey" / "appendonlydir" / "gone.incr.aof").symlink_to(tmp_path / "rewritten")
    assert sync(home / "valkey") == 1


def test_it_listens_on_loopback_only_and_wants_a_password(home: Path) -> None:
    address = valkey_server.ensure(home)
    with pytest.raises(redis.exceptions.AuthenticationError), redis.Redis(port=address.port) as stranger:
        stranger.get("a")
    with redis.Redis.from_url(address.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
    for name in ("server.json", "valkey.conf"):
        assert stat.S_IMODE((home / "valkey" / name).stat().st_mode) == 0o600
    assert valkey_server.release(home)


def test_a_home_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="set EAGLERAY_HOME to a folder you can write"):
        valkey_server.ensure(tmp_path / "file")


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    folder = home / "valkey"
    folder.mkdir(parents=True)
    (folder / "appendonlydir").write_text("a file where a folder must be")
    with pytest.raises(ServerUnavailable, match="did not start"):
        valkey_server.ensure(home)
    assert valkey_server.release(home)
