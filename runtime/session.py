"""A session: what a program starts here ends with its block, whichever way the block ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from . import ray_cluster, valkey_server
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Session:
    """What runs: `dashboard_url` is where Ray's web pages are, when they were asked for."""

    settings: Settings
    dashboard_url: str | None


@contextmanager
def session(
    settings: Settings | None = None, *, num_cpus: int | None = None, dashboard: bool = False
) -> Iterator[Session]:
    """Starts (or joins) Ray; at the end endpoints, Ray and the embedded server are gone.

    SIGTERM ends the block as Ctrl-C does. A cluster or a server that the settings name is left running, and so is
    a Ray that this program had before.
    """
    chosen = settings or Settings.from_env()
    had_ray = ray_cluster.is_up()
    with _terminated_politely():
        try:
            ray_cluster.connect(chosen, num_cpus=num_cpus, dashboard=dashboard)
            yield Session(chosen, ray_cluster.dashboard_url())
        finally:
            with undisturbed():
                if not had_ray:
                    ray_cluster.stop()
                if chosen.redis_url is None:
                    valkey_server.release(chosen.home)


@contextmanager
def _terminated_politely() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """A second, impatient Ctrl-C must not leave half of it running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
