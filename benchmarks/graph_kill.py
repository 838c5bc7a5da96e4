"""Kills replicas of a served graph while clients ask: `benchmarks/graph_kill.py --seconds 60 --every 5 --json`.

The graph has two parts of two replicas each; they are killed in turn. Every answer is compared with the right one. Once
each request is sent once, and whoever fails must have been under way when a replica of the ingress was killed; once a
request that got no answer is sent again, and none may fail.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eagleray.autoscaling.scale import Scale
from eagleray.functions.rollouts.client import Client
from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.endpoint import Endpoint
from eagleray.runtime import ray_cluster
from eagleray.runtime.errors import EaglerayError
from eagleray.runtime.resources import Resources
from eagleray.runtime.settings import Settings

TWO = Scale(min=2, max=2)
GRACE_S = 0.05  # between the moment that is noted and the signal's


def square(body: dict[str, Any]) -> dict[str, Any]:
    return {"x": body["x"], "y": body["x"] ** 2}


def add(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "z": body["y"] + body["x"]}


@dataclass
class Tally:
    """What became of the requests, over all clients."""

    answered: int = 0
    wrong: int = 0
    failed: list[tuple[float, float, str]] = field(default_factory=list)
    longest_s: float = 0.0
    kills: list[tuple[float, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def told(self) -> dict[str, Any]:
        """As JSON: `failed_otherwise` were not under way when a replica of the ingress was killed."""
        moments = [at_s for at_s, what in self.kills if what == "ingress"]
        others = [
            error
            for began_s, ended_s, error in self.failed
            if not any(began_s <= at_s + GRACE_S and at_s <= ended_s for at_s in moments)
        ]
        return {
            "answered": self.answered,
            "wrong": self.wrong,
            "failed": len(self.failed),
            "failed_otherwise": len(others),
            "kills": {what: sum(1 for _, one in self.kills if one == what) for what in ("ingress", "part")},
            "longest_s": round(self.longest_s, 2),
            "errors": sorted({error for _, _, error in self.failed})[:3],
        }


def ask(url: str, tally: Tally, done: threading.Event, *, place: int, repeats: bool) -> None:
    """One client: the next request when the last is answered."""
    client, number = Client(url), place
    while not done.is_set():
        number += 1_000
        began_s = time.monotonic()
        error = ""
        try:
            answer = client.post("", {"id": str(number), "x": number}, may_repeat=repeats)
        except EaglerayError as raised:
            error = f"{type(raised).__name__}: {raised}"
        ended_s = time.monotonic()
        with tally.lock:
            tally.longest_s = max(tally.longest_s, ended_s - began_s)
            if error:
                tally.failed.append((began_s, ended_s, error))
            else:
                tally.answered += 1
                tally.wrong += answer != {"id": str(number), "x": number, "y": number**2, "z": number**2 + number}


def kill(end: Endpoint, what: str, tally: Tally) -> None:
    """One running replica, if there is one."""
    status = end.status()
    pids = status.replica_pids if what == "ingress" else status.part_pids
    if not pids:
        return
    tally.kills.append((time.monotonic(), what))
    os.kill(pids[0], signal.SIGKILL)


def run(end: Endpoint, *, seconds: float, every_s: float, clients: int, repeats: bool) -> dict[str, Any]:
    """Clients ask for so long, while a replica is killed every `every_s`, of ingress and part in turn."""
    tally, done = Tally(), threading.Event()
    threads = [
        threading.Thread(target=ask, args=(end.url, tally, done), kwargs={"place": place, "repeats": repeats})
        for place in range(clients)
    ]
    for thread in threads:
        thread.start()
    until_s = time.monotonic() + seconds
    turn = 0
    while time.monotonic() + every_s < until_s:
        time.sleep(every_s)
        kill(end, ("ingress", "part")[turn % 2], tally)
        turn += 1
    time.sleep(max(0.0, until_s - time.monotonic()))
    done.set()
    for thread in threads:
        thread.join()
    return tally.told()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    graph = Graph("killed")
    apart = Graph("x").to(add).steps[0].needs(cpus=0.1).isolate(scale=TWO)
    graph.to(square).to(apart).respond()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        ray_cluster.connect(settings, num_cpus=4)
        try:
            end = graph.deploy(settings=settings, scale=TWO, resources=Resources(cpus=0.1))
            how = {"seconds": options.seconds, "every_s": options.every, "clients": options.clients}
            found = {
                "once": run(end, repeats=False, **how),
                "repeated": run(end, repeats=True, **how),
            }
        finally:
            ray_cluster.stop()
    print(json.dumps(found) if options.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
