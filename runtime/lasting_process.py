"""The process behind `eagleray up`, run as `lasting_process HOME CPUS`; SIGTERM ends it and all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from . import lasting, ray_cluster, valkey_server
from .errors import EaglerayError
from .session import session
from .settings import Settings


def main(home: Path, num_cpus: int | None) -> int:
    """Keeps Ray and the embedded server up until SIGTERM; the exit status."""
    if not lasting.hold(home):
        return 0  # another was quicker
    if os.fork():
        os._exit(0)  # the launcher has no child to wait for; the lock is held by the child too
    lasting.note_path(home).unlink(missing_ok=True)
    settings = replace(Settings.from_env(), home=home, ray_address=None)
    try:
        with contextlib.suppress(KeyboardInterrupt), session(settings, num_cpus=num_cpus, dashboard=True) as up:
            if settings.redis_url is None:
                valkey_server.ensure(home)
            address, environment = ray_cluster.joining()
            lasting.publish(home, lasting.Lasting(address, up.dashboard_url or "", os.getpid(), environment))
            while True:
                signal.pause()
    except EaglerayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        lasting.note_path(home).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) or None))
