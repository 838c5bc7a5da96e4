"""What a job runs: its call as a tracked run, then its result kept for who asks."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import cast

from ..runtime import ray_cluster
from ..runtime.failure import failure_of
from ..runtime.ray_jobs import keep_result, own_id, read_call
from ..runtime.ray_supervisor import due_job
from ..runtime.settings import Settings
from .function import Function
from .runs.recording import user_frames


def main() -> int:
    """Runs the call; the exit status is 1 where it raised."""
    ray_cluster.connect(Settings.from_env())
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: the run ends as KILLED
    due = due_job()
    if due is not None and not due.begin():
        sys.stderr.write("this due time has run, or is not wanted any more\n")
        return 0
    fn, args, kwargs = read_call()
    called = cast("Function[..., object]", fn)
    tags = {"job": own_id()} | ({"schedule": due.run.schedule} if due is not None else {})
    try:
        done = called.tracked(tags=tags).run(*args, **kwargs)
        keep_result((done.value,), called.spec.name)
    except Exception as error:  # noqa: BLE001 - the user's own, handed to who asks for the result
        sys.stderr.write(user_frames(error))
        keep_result(failure_of(error), called.spec.name)
        if due is not None:
            due.end("FAILED", error=f"{type(error).__name__}: `eagleray jobs logs {due.run.job}` shows it")
        return 1
    sys.stderr.write(f"run {done.id} {done.status.lower()} after {done.duration_s:.2f} s\n")
    if due is not None:
        due.end("SUCCEEDED", run=done.id)
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
