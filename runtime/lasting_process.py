"""The process behind `eagleray up`, run as `lasting_process HOME CPUS`; SIGTERM ends it and all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from . import lasting, ray_cluster, valkey_server
from .errors import EaglerayError
from .session import session
from .settings import Settings


@contextmanager
def found_by_others(settings: Settings, *, num_cpus: int | None = None) -> Iterator[None]:
    """Ray and the embedded server, while the block runs, for every process of this home; the caller holds its lock."""
    home, settings = settings.home, replace(settings, ray_address=None)
    lasting.note_path(home).unlink(missing_ok=True)  # what a killed one left behind
    try:
        with session(settings, num_cpus=num_cpus, dashboard=True) as up:
            if settings.redis_url is None:
                valkey_server.ensure(home)
            address, environment = ray_cluster.joining()
            lasting.publish(home, lasting.Lasting(address, up.dashboard_url or "", os.getpid(), environment))
            _resume_schedules(settings)
            yield
    finally:
        lasting.note_path(home).unlink(missing_ok=True)


def main(home: Path, num_cpus: int | None) -> int:
    """Keeps Ray and the embedded server up until SIGTERM; the exit status."""
    if not lasting.hold(home):
        return 0  # another was quicker
    if os.fork():
        os._exit(0)  # the launcher has no child to wait for; the lock is held by the child too
    try:
        with (
            contextlib.suppress(KeyboardInterrupt),
            found_by_others(replace(Settings.from_env(), home=home), num_cpus=num_cpus),
        ):
            while True:
                signal.pause()
    except EaglerayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _resume_schedules(settings: Settings) -> None:
    """Ray stays up also where they cannot be read."""
    from .schedule_place import has_schedules

    try:
        if has_schedules(settings):
            from .ray_supervisor import start

            start(settings)
    except EaglerayError as error:
        sys.stderr.write(f"no schedule runs: {error}\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) or None))
