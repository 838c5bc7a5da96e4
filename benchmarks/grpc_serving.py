"""A deployed function over gRPC and over HTTP, beside a plain grpc.aio server: `benchmarks/grpc_serving.py --json`.

The work is W5's. Each load comes from a process of its own, in turn, on the same machine: 32 calls at once on eight
connections for the rate, one at a time for the latency. The clients of gRPC are grpcio's, the one of HTTP writes to
sockets; on few cores a client's own work is a good part of what is measured, so compare gRPC with gRPC.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from eagleray import function, session
from eagleray.functions.grpc.protobuf_calls import SERVICE, Calls

CONNECTIONS, AT_ONCE, SECONDS = 8, 32, 4.0
WEIGHTS = [((i * 7919) % 101) / 101 - 0.5 for i in range(20)]
BODY = json.dumps({"x": [0.5] * 20}).encode()
Ask = Callable[[], Awaitable[object]]


@function
def predict(x: list[float]) -> dict[str, float]:
    """A dot product and its sigmoid."""
    return {"y": 1.0 / (1.0 + math.exp(-sum(a * b for a, b in zip(x, WEIGHTS, strict=False))))}


async def plain_server() -> None:
    """The same messages and the same work on grpcio's own server: no Ray, one process."""
    calls = Calls()

    async def call(message: bytes, _context: object) -> bytes:
        found = predict.__wrapped__(**json.loads(calls.request.FromString(message).json))
        reply: bytes = calls.reply(json=json.dumps(found).encode()).SerializeToString()
        return reply

    server = grpc.aio.server()
    handlers = {"Call": grpc.unary_unary_rpc_method_handler(call)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(None)


async def load(kind: str, address: str) -> dict[str, float]:
    """Calls a second at 32 at once, and the median milliseconds of one at a time."""
    asks = [await (_http(address) if kind == "http" else _grpc(address)) for _ in range(CONNECTIONS)]
    for ask in asks:
        await ask()
    one = []
    end = time.perf_counter() + SECONDS / 2
    while (began := time.perf_counter()) < end:
        await asks[0]()
        one.append(time.perf_counter() - began)
    counts = [0]
    end = time.perf_counter() + SECONDS

    async def again(ask: Ask) -> None:
        while time.perf_counter() < end:
            await ask()
            counts[0] += 1

    began = time.perf_counter()
    await asyncio.gather(*(again(asks[place % CONNECTIONS]) for place in range(AT_ONCE)))
    return {"per_s": counts[0] / (time.perf_counter() - began), "p50_ms": statistics.median(one) * 1e3}


async def _grpc(address: str) -> Ask:
    channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_unary(f"/{SERVICE}/Call")
    message = Calls().request(function="predict", json=BODY).SerializeToString()
    return lambda: call(message)


async def _http(address: str) -> Ask:
    """HTTP/1.1 has one request a connection at a time: as many connections as are needed at once."""
    host, port = address.split(":")
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(AT_ONCE // CONNECTIONS)]

    async def ask() -> None:
        reader, writer = idle.pop()
        writer.write(head % len(BODY) + BODY)
        told = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in told.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        assert told.startswith(b"HTTP/1.1 200")
        await reader.readexactly(int(length.partition(b":")[2]))
        idle.append((reader, writer))

    return ask


def measured(kind: str, address: str) -> dict[str, float]:
    """One load from a process of its own."""
    command = [sys.executable, __file__, "--load", kind, address]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(rounds: int) -> dict[str, Any]:
    """All three in turn, several times: medians, and the ratios within a round."""
    command = [sys.executable, __file__, "--plain"]
    plain = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert plain.stdin is not None
    assert plain.stdout is not None
    try:
        plain_address = f"127.0.0.1:{int(plain.stdout.readline())}"
        with session(num_cpus=2):
            endpoint = predict.deploy()
            ours = endpoint.grpc_address
            time.sleep(3)  # until HAProxy has found the replica
            places = {"http": ("http", ours), "grpc": ("grpc", ours), "plain_grpc": ("grpc", plain_address)}
            found = [{name: measured(*place) for name, place in places.items()} for _ in range(rounds)]
            endpoint.stop()
    finally:
        plain.stdin.close()
        plain.wait()
    figures = ("per_s", "p50_ms")
    told: dict[str, Any] = {
        name: {what: statistics.median(one[name][what] for one in found) for what in figures} for name in places
    }
    for other in ("plain_grpc", "http"):
        told[f"grpc_by_{other}"] = {
            what: statistics.median(one["grpc"][what] / one[other][what] for one in found) for what in figures
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        asyncio.run(plain_server())
    elif options.load:
        print(json.dumps(asyncio.run(load(*options.load))))
    else:
        found = compare(options.rounds)
        if options.json:
            print(json.dumps(found, indent=1))
            return
        for name, figures in found.items():
            print(f"{name:20}", "  ".join(f"{key} {value:.4g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
