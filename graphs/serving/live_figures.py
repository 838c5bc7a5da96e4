"""What the steps of a deployed graph do right now: each replica tells its figures, whoever asks adds them up."""

from __future__ import annotations

import asyncio
import json
import os

from ..flows.meter import Figures

REPORT_S = 1.0


class LiveFigures:
    """The figures of one replica; told at most once a `REPORT_S`, and only while there are requests."""

    def __init__(self, graph: str, version: str) -> None:
        self.meters: dict[str, Figures] = {}
        self._key = f"{_prefix(graph, version)}{os.getpid()}"
        self._timer: asyncio.TimerHandle | None = None

    def worked(self) -> None:
        """Notes that there is something to tell; called in the event loop."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REPORT_S, self._tell)

    def _tell(self) -> None:
        from ...runtime import ray_kv

        self._timer = None
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
