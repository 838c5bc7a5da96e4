"""One line of JSON for each request a service answers, on the replica's standard output, for `endpoint.logs()`.

Neither headers nor query nor body are in it: keys and data stay out of logs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson


class AccessLog:
    """Writes the lines of one process of a service; costs some 5 us a request."""

    def __init__(self, service: str, version: str, *, to: TextIO | None = None) -> None:
        self._same = {"service": service, "version": version, "replica": os.getpid()}
        self._to = to

    def write(self, scope: Mapping[str, Any], request_id: str, status: int, *, began_us: int, ended_us: int) -> None:
        """Notes one answer; times are microseconds since 1970."""
        line = {
            "time": datetime.fromtimestamp(began_us / 1e6, UTC),
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": (ended_us - began_us) / 1e3,
            **self._same,
        }
        # Standard output is looked up each time: a test or a server may have put another in its place.
        (self._to or sys.stdout).write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z).decode())
