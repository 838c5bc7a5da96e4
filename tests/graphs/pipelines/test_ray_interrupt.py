"""Ctrl-C ends the Ray tasks of a pipeline, the polite ones and the others."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from eagleray import Pipeline, function
from eagleray.runtime import psutil_processes
from eagleray.runtime.settings import Settings


def test_ctrl_c_leaves_no_task_running(ray_cluster: Settings, settings: Settings, tmp_path: Path) -> None:
    def hangs(folder: str, stubborn: bool) -> None:
        path = Path(folder) / str(os.getpid())
        path.touch()
        try:
            while True:
                with suppress(*([KeyboardInterrupt] if stubborn else [])):
                    threading.Event().wait(0.05)
        finally:
            path.unlink()

    p, folder = Pipeline("interrupted"), tmp_path / "hanging"
    folder.mkdir()
    for name, stubborn in (("one", False), ("two", True)):
        p.step(function(cpus=0.5)(hangs), str(folder), stubborn, name=name)

    def interrupts() -> None:
        while len(list(folder.iterdir())) < 2:
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupts)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        p.run(on="ray", settings=settings, track=False)
    thread.join()
    deadline = time.monotonic() + 30
    for left in folder.iterdir():  # what was not ended politely
        while psutil_processes.alive(int(left.name)):
            assert time.monotonic() < deadline, "its worker still lives"
            threading.Event().wait(0.05)
    (run,) = p.runs(settings=settings)
    assert run.status == "KILLED"
    assert {one.status for one in run.steps.values()} == {"KILLED"}
