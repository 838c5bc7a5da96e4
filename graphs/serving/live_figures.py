"""What the steps of a deployed graph do right now: each replica tells its figures, whoever asks adds them up."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable

from ..flows.meter import Figures

REPORT_S = 1.0


Later = Callable[[float, Callable[[], None]], object]


def in_the_loop(delay_s: float, call: Callable[[], None]) -> None:
    """Calls it later in the running event loop."""
    asyncio.get_running_loop().call_later(delay_s, call)


def in_a_thread(delay_s: float, call: Callable[[], None]) -> None:
    """Calls it later where no event loop runs."""
    timer = threading.Timer(delay_s, call)
    timer.daemon = True
    timer.start()


class LiveFigures:
    """The figures of one process; told at most once a `REPORT_S`, and only while there is work."""

    def __init__(self, graph: str, version: str, *, later: Later = in_the_loop) -> None:
        self.meters: dict[str, Figures] = {}
        self._key = f"{_prefix(graph, version)}{os.getpid()}"
        self._later = later
        self._will_tell = False

    def worked(self) -> None:
        """Notes that there is something to tell."""
        if not self._will_tell:
            self._will_tell = True
            self._later(REPORT_S, self._tell)

    def _tell(self) -> None:
        from ...runtime import ray_kv

        self._will_tell = False
        told = {step: figures.as_dict() for step, figures in self.meters.items()}
        ray_kv.put(self._key, json.dumps(told).encode())


def figures_told(graph: str, version: str) -> dict[str, Figures]:
    """Each step's figures over all replicas of that version; empty before the first second of requests."""
    from ...runtime import ray_kv

    total: dict[str, Figures] = {}
    for key in ray_kv.keys(_prefix(graph, version)):
        for step, figures in json.loads(ray_kv.get(key) or b"{}").items():
            total[step] = total.get(step, Figures()) + Figures(**figures)
    return total


def _prefix(graph: str, version: str) -> str:
    return f"steps:{graph}:{version}:"
