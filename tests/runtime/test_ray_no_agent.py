"""What a raylet is told in the agent's stead, and that it ends with its parent."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from eagleray.runtime import psutil_processes, ray_no_agent

STARTS_ONE_AND_WAITS = """
import subprocess, sys
one = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.DEVNULL)
print(one.pid, flush=True)
sys.stdin.read()
"""


def command(folder: Path) -> list[str]:
    return [ray_no_agent.__file__, f"--session-dir={folder}", "--node-id=ab12", "--listen-port=0"]


def test_it_tells_that_nothing_listens_and_ends_when_its_pipe_is_closed(tmp_path: Path) -> None:
    stand_in = subprocess.Popen([sys.executable, *command(tmp_path)], stdin=subprocess.PIPE)
    wanted = {f"{name}_port_ab12": "-1" for name in ("metrics_agent", "metrics_export", "dashboard_agent_listen")}
    while {path.name: path.read_text() for path in tmp_path.glob("*_ab12")} != wanted:
        assert stand_in.poll() is None
        threading.Event().wait(0.02)
    assert stand_in.stdin is not None
    stand_in.stdin.close()
    assert stand_in.wait(10) == 0


def test_without_a_pipe_it_sees_that_its_parent_is_gone(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE_AND_WAITS, *command(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    while len(list(tmp_path.glob("*_ab12"))) < 3:
        threading.Event().wait(0.02)
    assert psutil_processes.alive(pid)
    parent.kill()
    parent.communicate()
    while psutil_processes.alive(pid):
        threading.Event().wait(0.02)
