"""The processes below one of ours: remembered before a shutdown, ended after it if any is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import psutil

from .errors import EaglerayError

GRACE_S = 2.0
_LOOK_EVERY_S = 0.02


def tree(pid: int) -> list[tuple[int, float]]:
    """`pid` and every process below it as (pid, start time in seconds): the pair stays unique when a pid is reused."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    found = []
    for process in processes:
        try:
            found.append((int(process.pid), float(process.create_time())))
        except psutil.NoSuchProcess:
            continue
    return found


def alive(pid: int) -> bool:
    """True while a process with this id runs (a zombie does not)."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def end(processes: Sequence[tuple[int, float]], *, wait_s: float = 0.0) -> int:
    """Ends what is still running of `processes` and returns how many had to be ended.

    Waits `wait_s` for them to go by themselves, then terminates, then kills; raises `EaglerayError`
    when one survives even that.
    """
    running = []
    for pid, started_s in processes:
        try:
            process = psutil.Process(pid)
            if process.create_time() == started_s:
                running.append(process)
        except psutil.NoSuchProcess:
            continue
    left = _left_after(wait_s, running)
    ended = len(left)
    for process in left:
        _signal(process, "terminate")
    left = _left_after(GRACE_S, left)
    for process in left:
        _signal(process, "kill")
    left = _left_after(GRACE_S, left)
    if left:
        raise EaglerayError(f"processes {[p.pid for p in left]} do not end: end them by hand (kill -9)")
    return ended


def _left_after(wait_s: float, processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run then; one whose parent has not heard of its end runs no more."""
    deadline = time.monotonic() + wait_s
    while (left := [process for process in processes if alive(process.pid) and process.is_running()]) and (
        time.monotonic() < deadline
    ):
        psutil.wait_procs(left[:1], timeout=_LOOK_EVERY_S)
    return left


def _signal(process: Any, verb: str) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        getattr(process, verb)()


def available_bytes() -> int:
    """Memory that this machine can give to a process without swapping."""
    return int(psutil.virtual_memory().available)
