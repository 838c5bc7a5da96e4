"""Stands where Ray wants the agent of its web pages, in a Ray without pages; called with the real one's arguments.

A raylet does not start without an agent, and ends with it; the real one takes seconds to load and measures processes
all the time. This one says that there are no services (as Ray's own agent does where their packages are missing) and
waits for the pipe that its parent holds, which the kernel closes however the parent ends. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
import time

_SERVICES = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")


def tell_that_nothing_listens(folder: str, node_id: str) -> None:
    """Leaves what a raylet reads: a file a service, whole from the moment it is there."""
    for service in _SERVICES:
        path = os.path.join(folder, f"{service}_{node_id}")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write("-1")
        os.replace(path + ".new", path)


def wait_for_the_parent_to_end() -> None:
    """By the pipe where there is one."""
    parent = os.getppid()
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        sys.stdin.buffer.read()
        return
    while os.getppid() == parent:
        time.sleep(0.5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--session-dir")
    parser.add_argument("--node-id")
    told, _ = parser.parse_known_args()
    tell_that_nothing_listens(told.session_dir, told.node_id)
    wait_for_the_parent_to_end()
