"""Several clients at once: each sends its share of the requests over a connection of its own, one after the other."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np


@dataclass(frozen=True)
class Answers:
    """What came back, in the order of the requests; `failed` counts answers other than 200."""

    bodies: list[dict[str, Any]]
    latencies_ms: list[float]
    seconds: float
    failed: int

    def __add__(self, other: Answers) -> Answers:
        return Answers(
            self.bodies + other.bodies,
            self.latencies_ms + other.latencies_ms,
            self.seconds + other.seconds,
            self.failed + other.failed,
        )

    @property
    def per_second(self) -> float:
        """Requests a second, all clients together."""
        return len(self.latencies_ms) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """The latency that `share` of the requests stayed below."""
        return float(np.quantile(self.latencies_ms, share))


def send(
    url: str, requests: Sequence[dict[str, Any]], *, clients: int, on_answer: Callable[[int], None] = lambda _: None
) -> Answers:
    """Sends every request once; returns when all are answered."""
    bodies: list[dict[str, Any]] = [{} for _ in requests]
    latencies, failed = [0.0] * len(requests), [0] * clients
    target = urlsplit(url)

    def run(client: int) -> None:
        connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)
        for place in range(client, len(requests), clients):
            begin = time.perf_counter()
            connection.request("POST", target.path, json.dumps(requests[place]), {"content-type": "application/json"})
            response = connection.getresponse()
            body = response.read()
            latencies[place] = (time.perf_counter() - begin) * 1000
            failed[client] += response.status != 200
            bodies[place] = json.loads(body)
            on_answer(1)
        connection.close()

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Answers(bodies, latencies, time.perf_counter() - begin, sum(failed))
