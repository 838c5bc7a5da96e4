"""The session's own Ray is looked at; starting, stopping and failing happens in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from eagleray.runtime import psutil_processes, ray_cluster, ray_environment, ray_join
from eagleray.runtime.errors import ServerUnavailable, StorageError
from eagleray.runtime.settings import Settings

STARTS_AND_WAITS = """
import sys
from pathlib import Path
from eagleray.runtime import ray_cluster
from eagleray.runtime.settings import Settings
ray_cluster.connect(Settings(home=Path(sys.argv[1])), num_cpus=1)
import ray
assert ray.get(ray.remote(lambda: 7).remote()) == 7
from ray._private.worker import _global_node
print("up", *[process.pid for _, process in _global_node.live_processes()], flush=True)
sys.stdin.read()
"""


def test_a_second_connect_changes_nothing(ray_cluster: Settings):
    import ray

    from eagleray.runtime import ray_cluster as cluster

    before = ray.get_runtime_context().get_node_id()
    cluster.connect(ray_cluster, num_cpus=99)
    assert ray.get_runtime_context().get_node_id() == before
    assert ray.cluster_resources()["CPU"] == 4
    assert cluster.is_up()
    assert cluster.is_local()


def test_it_starts_nothing_for_pages_that_nobody_asked_for(ray_cluster: Settings):
    commands = [" ".join(psutil.Process(pid).cmdline()) for pid, _ in psutil_processes.tree(os.getpid())]
    assert any("raylet" in command for command in commands)
    for unwanted in ("DashboardAgent", "dashboard.py", "monitor.py"):
        assert [command for command in commands if unwanted in command] == []


def listening(pids: set[int]) -> set[str]:
    """Addresses at which one of the processes listens, from the kernel's own tables."""
    sockets = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(os.readlink(handle))
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].rpartition(":")[0])
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the kernel's tables")
def test_nothing_of_ours_listens_beyond_loopback(ray_cluster: Settings):
    pids = {pid for pid, _ in psutil_processes.tree(os.getpid())}
    allowed = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    found = listening(pids)
    assert found, "no listening socket found: the test looks at the wrong place"
    assert found <= allowed


def test_the_token_is_ours_alone(ray_cluster: Settings):
    from eagleray.runtime import ray_cluster as cluster

    token = cluster.token_path(ray_cluster)
    assert token.stat().st_mode & 0o077 == 0
    assert len(token.read_text()) == 64


def test_it_leaves_no_process_however_its_owner_ends(tmp_path: Path):
    ends = (signal.SIGINT, signal.SIGKILL)
    with contextlib.ExitStack() as stack:
        owners = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path / f"a home's \u00e9{end}")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            for end in ends
        ]
        processes = []
        for owner, end in zip(owners, ends, strict=True):
            assert owner.stdout is not None
            assert owner.stdout.readline().split()[:1] == ["up"]
            processes += psutil_processes.tree(owner.pid)
            owner.send_signal(end)
        for owner in owners:
            owner.wait(30)
    gone_by = time.monotonic() + 20
    while left := [pid for pid, _ in processes if psutil_processes.alive(pid)]:
        assert time.monotonic() < gone_by, f"processes {left} outlived their owner"
    assert not [folder for owner in owners for folder in Path("/tmp").glob(f"eray-{owner.pid}-*")]


def test_an_unreachable_cluster_is_told_fast(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_cluster, "is_up", lambda: False)
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"no Ray cluster answers at '127.0.0.1:1'.*RAY_ADDRESS"):
        ray_cluster.connect(replace(settings, ray_address="127.0.0.1:1"))
    with pytest.raises(ServerUnavailable, match="write HOST:PORT"):
        ray_cluster.connect(replace(settings, ray_address="somewhere"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(ray_join, "TIMEOUT_S", 0.5)
        with pytest.raises(ServerUnavailable, match="RAY_ADDRESS"):
            ray_cluster.connect(replace(settings, ray_address=f"127.0.0.1:{taken}"))
    assert time.monotonic() - began < 10


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_cluster, "is_up", lambda: False)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="set EAGLERAY_HOME"):
        ray_cluster.connect(Settings(home=tmp_path / "file"))


def test_what_the_ray_of_a_parent_program_set_is_forgotten() -> None:
    environ = {"RAY_AUTH_TOKEN_PATH": "a", "RAY_worker_niceness": "5", "HOME": "h"}
    environ[ray_environment.OURS] = "RAY_AUTH_TOKEN_PATH,RAY_SERVE_HAPROXY_STATS_PORT"
    ray_environment.forget_inherited(environ)
    assert environ == {"RAY_worker_niceness": "5", "HOME": "h"}  # what the user has set stays
    ray_environment.forget_inherited(environ)
    assert len(environ) == 2
