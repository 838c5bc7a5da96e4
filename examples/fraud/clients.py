"""Several clients at once: each sends its share of the requests, one after the other, on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Request = dict[str, Any]


@dataclass
class Answers:
    """What came back, by request id, and how long each took."""

    scores: dict[str, float] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Requests a second, all clients together."""
        return len(self.latencies_ms) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """The latency that `share` of the requests stayed below."""
        return float(np.quantile(self.latencies_ms, share))


class Clients:
    """So many clients of one endpoint; `call` posts a request and returns the answer, or raises."""

    def __init__(self, call: Callable[[Request], Any], count: int) -> None:
        self._call = call
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="client")

    def send(self, requests: Sequence[Request], *, into: Answers) -> None:
        """Returns when every request is answered; the first that failed raises its error."""
        begin = time.perf_counter()
        for answer, latency_ms in self._threads.map(self._timed, requests):
            into.scores[answer["id"]] = answer["score"]
            into.latencies_ms.append(latency_ms)
        into.seconds += time.perf_counter() - begin

    def send_until(self, done: Callable[[], bool], requests: Sequence[Request], *, at_most_s: float) -> Answers:
        """Repeats the requests until `done`."""
        answers, deadline = Answers(), time.monotonic() + at_most_s
        for part in _parts(requests):
            if done() or time.monotonic() > deadline:
                break
            self.send(part, into=answers)
        return answers

    def close(self) -> None:
        """Waits for what is under way."""
        self._threads.shutdown()

    def _timed(self, request: Request) -> tuple[Any, float]:
        begin = time.perf_counter()
        answer = self._call(request)
        return answer, (time.perf_counter() - begin) * 1000


def _parts(requests: Sequence[Request], size: int = 200) -> Iterator[Sequence[Request]]:
    while True:
        for first in range(0, len(requests), size):
            yield requests[first : first + size]
