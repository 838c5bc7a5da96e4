"""Load for a JSON service, from a process of its own: as much as it takes, or so many requests a second.

    python benchmarks/http_load.py URL BODY --connections 32 --seconds 4 [--per-s 500]

Prints `per_s`, `p50_ms`, `p99_ms` and `errors` as JSON. {n} in BODY becomes a number below 1,000, another with every
request. With --per-s a request is sent when it is
due, whether or not the ones before it were answered, and its latency counts from then (no coordinated omission).
Without it, wrk asks where it is installed, else this program.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KEYS = 1_000
_LUA = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
local before, after, n = %s, %s, 0
request = function() n = (n + 1) %% %d; return wrk.format(nil, nil, nil, before .. (after and n .. after or "")) end
done = function(s, l)
  local e = s.errors
  io.write(string.format("WRK %%d %%d %%d %%d %%d\\n", s.requests, s.duration, l:percentile(50), l:percentile(99),
    e.connect + e.read + e.write + e.timeout + e.status))
end
"""


def with_wrk(url: str, body: str, connections: int, seconds: float) -> dict[str, float]:
    """As many as it takes, asked by wrk."""
    before, has_number, after = body.partition("{n}")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(_LUA % (f"[[{before}]]", f"[[{after}]]" if has_number else "nil", KEYS))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script), url]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"WRK (\d+) (\d+) (\d+) (\d+) (\d+)", told)
    assert found is not None, told
    count, took_us, p50_us, p99_us, errors = map(int, found.groups())
    return {"per_s": count / took_us * 1e6, "p50_ms": p50_us / 1e3, "p99_ms": p99_us / 1e3, "errors": errors}


class Connection(asyncio.Protocol):
    """One request at a time over one connection."""

    def __init__(self) -> None:
        self._got = b""
        self._waiting: asyncio.Future[bool] | None = None
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[bool]:
        """True for an answer of 200."""
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, rest = self._got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if found and length is not None and len(rest) >= int(length[1]):
            self._got = b""
            self._end(head.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(False)

    def _end(self, is_good: bool) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(is_good)


async def measured(url: str, body: str, connections: int, seconds: float, per_s: float) -> dict[str, float]:
    """The load itself."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        _, made = await loop.create_connection(Connection, parts.hostname or "", parts.port or 80)
        idle.put_nowait(made)
    took: list[float] = []
    errors = 0

    def request(number: int) -> bytes:
        text = body.replace("{n}", str(number % KEYS)).encode()
        head = f"POST {parts.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(text)}\r\n\r\n".encode() + text

    async def ask(number: int, due: float) -> None:
        nonlocal errors
        connection = await idle.get()
        if await connection.ask(request(number)):
            took.append(time.perf_counter() - due)
        else:
            errors += 1
        idle.put_nowait(connection)

    async def again(first: int) -> None:
        number = first
        while time.perf_counter() < end:
            await ask(number, time.perf_counter())
            number += connections

    began = time.perf_counter()
    end = began + seconds
    if not per_s:
        await asyncio.gather(*(again(place) for place in range(connections)))
    else:
        asked = set()
        for number in range(int(seconds * per_s)):
            due = began + number / per_s
            if (wait_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            task = asyncio.ensure_future(ask(number, due))
            asked.add(task)
            task.add_done_callback(asked.discard)
        await asyncio.gather(*asked)
    spent = time.perf_counter() - began
    ranked = sorted(took) or [float("nan")]
    at = {share: ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1e3 for share in (0.5, 0.99)}
    return {"per_s": len(took) / spent, "p50_ms": at[0.5], "p99_ms": at[0.99], "errors": errors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("body")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--per-s", type=float, default=0.0)
    given = parser.parse_args()
    if not given.per_s and shutil.which("wrk"):
        found = with_wrk(given.url, given.body, given.connections, given.seconds)
    else:
        found = asyncio.run(measured(given.url, given.body, given.connections, given.seconds, given.per_s))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
