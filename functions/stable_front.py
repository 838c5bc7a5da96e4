"""What a replica runs: the service's application, behind the front that shares out requests while a trial runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from .http_app import HttpApp
from .split import Counts, Split
from .traffic import Traffic


def stable_front(build: Callable[[], HttpApp], service: str) -> Split:
    """The application, made here; what becomes of split traffic is told under `counts_key`."""
    return Split(build(), report=_reporter(service))


def counts_key(service: str) -> str:
    """Where replicas leave what became of split traffic."""
    return f"traffic:{service}:"


def _reporter(service: str) -> Callable[[Traffic, Counts], None]:
    """Tells the counts of this process to whoever asks how canary or shadow do."""

    def report(traffic: Traffic, counts: Counts) -> None:
        from ..runtime import ray_kv

        told = {"traffic": traffic.as_config(), "counts": counts.as_dict()}
        ray_kv.put(f"{counts_key(service)}{os.getpid()}", json.dumps(told).encode())

    return report
