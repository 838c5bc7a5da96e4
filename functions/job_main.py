"""What a job runs: its call as a tracked run, then its result kept for who asks."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import cast

from ..runtime import ray_cluster
from ..runtime.failure import failure_of
from ..runtime.ray_jobs import keep_result, read_call
from ..runtime.settings import Settings
from .function import Function
from .recording import user_frames


def main() -> int:
    """Runs the call; the exit status is 1 where it raised."""
    ray_cluster.connect(Settings.from_env())
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: the run ends as KILLED
    fn, args, kwargs = read_call()
    name = cast("Function[..., object]", fn).spec.name
    try:
        done = cast("Function[..., object]", fn).run(*args, **kwargs)
        keep_result((done.value,), name)
    except Exception as error:  # noqa: BLE001 - the user's own, handed to who asks for the result
        sys.stderr.write(user_frames(error))
        keep_result(failure_of(error), name)
        return 1
    sys.stderr.write(f"run {done.id} {done.status.lower()} after {done.duration_s:.2f} s\n")
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
