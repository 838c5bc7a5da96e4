"""What one process has answered, in the text format that Prometheus reads."""

from __future__ import annotations

import os
from bisect import bisect_left

# Upper bounds in microseconds: from a function that adds two numbers to one that asks a large model.
BOUNDS_US = (500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000)


class HttpMetrics:
    """Counters of one replica, which its own labels tell from the others'; adding to them costs under a microsecond."""

    __slots__ = ("_buckets", "_by_status", "_labels", "_sum_us")

    def __init__(self, name: str, version: str) -> None:
        self._labels = f'service="{name}",version="{version}",replica="{os.getpid()}"'
        self._by_status: dict[int, int] = {}
        self._buckets = [0] * (len(BOUNDS_US) + 1)
        self._sum_us = 0

    def observe(self, status: int, duration_us: int) -> None:
        """A request was answered with that status after that time."""
        self._by_status[status] = self._by_status.get(status, 0) + 1
        self._buckets[bisect_left(BOUNDS_US, duration_us)] += 1
        self._sum_us += duration_us

    def text(self, in_flight: int) -> bytes:
        """All of it, with the number of requests in flight now."""
        lines = ["# HELP eagleray_requests_total Requests answered.", "# TYPE eagleray_requests_total counter"]
        for status, number in sorted(self._by_status.items()):
            lines.append(f'eagleray_requests_total{{{self._labels},status="{status}"}} {number}')
        lines += [
            "# HELP eagleray_request_seconds Time from a request's arrival in the replica to its answer.",
            "# TYPE eagleray_request_seconds histogram",
        ]
        total = 0
        for bound, number in zip((*(us / 1e6 for us in BOUNDS_US), "+Inf"), self._buckets, strict=True):
            total += number
            lines.append(f'eagleray_request_seconds_bucket{{{self._labels},le="{bound}"}} {total}')
        lines += [
            f"eagleray_request_seconds_sum{{{self._labels}}} {self._sum_us / 1e6}",
            f"eagleray_request_seconds_count{{{self._labels}}} {total}",
            "# HELP eagleray_in_flight Requests in flight.",
            "# TYPE eagleray_in_flight gauge",
            f"eagleray_in_flight{{{self._labels}}} {in_flight}",
        ]
        return ("\n".join(lines) + "\n").encode()
