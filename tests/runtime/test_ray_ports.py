"""Ranges of ports: never shared, given back however their holder ends."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from eagleray.runtime import ray_ports
from eagleray.runtime.ray_environment import RANGES, REPLICA_PORTS

HOLDS_AND_WAITS = """
import sys
from eagleray.runtime import ray_ports
held = ray_ports.claim()
print(held.first, flush=True)
sys.stdin.read()
"""


def test_no_two_hold_the_same_range() -> None:
    held = [ray_ports.claim() for _ in range(5)]
    assert len({ports.first for ports in held}) == 5
    for ports in held:
        ports.close()


def test_a_range_comes_back_however_its_holder_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS_AND_WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    first = int(holder.stdout.readline())
    monkeypatch.setattr(ray_ports, "RANGES", range(first, first + 1))
    while_held = ray_ports.claim()
    assert while_held._held is None, "all are taken, so this one is shared"
    holder.kill()
    holder.communicate()
    after = ray_ports.claim()
    assert after._held is not None
    after.close()


def test_servers_get_ports_of_the_range_that_are_free_and_each_once() -> None:
    ports = ray_ports.claim()
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.first + REPLICA_PORTS + 2))
        given = [ports.free() for _ in range(RANGES.step - REPLICA_PORTS)]
    own = [port for port in given if ports.first <= port < ports.first + RANGES.step]
    assert own[:2] == [ports.first + REPLICA_PORTS + 1, ports.first + REPLICA_PORTS + 3]
    assert len(own) == len(set(own)) > 50
    assert set(own).isdisjoint(range(ports.replicas_from, ports.replicas_from + REPLICA_PORTS))
    assert len(given) > len(own), "then any port that is free"
    ports.close()
