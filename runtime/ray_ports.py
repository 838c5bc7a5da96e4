"""The TCP ports of one Ray of ours: a range of this machine's that no other of them has at the same time."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass, field

from .ray_environment import LOOPBACK, RANGES, REPLICA_PORTS


@dataclass(slots=True)
class RayPorts:
    """The range from `first` on: one port to hold it, then those of the replicas, then those of Ray's servers."""

    first: int
    _held: socket.socket | None = field(default=None, repr=False)
    _given: int = 0

    @property
    def replicas_from(self) -> int:
        """The first of the replicas' ports."""
        return self.first + 1

    def free(self) -> int:
        """A port of the range for a server, nobody listens there now, given once; any other where there is none left.

        Systems give out ports above these by themselves, so none of a program's links takes it before the server does.
        """
        while self._given < RANGES.step - REPLICA_PORTS - 1:
            self._given += 1
            port = self.first + REPLICA_PORTS + self._given
            if (probe := _bound(port)) is not None:
                probe.close()
                return port
        return free_port()

    def close(self) -> None:
        """Lets others have the range."""
        if self._held is not None:
            self._held.close()


def claim() -> RayPorts:
    """A range that nobody holds; it is held until `close`, or until this process ends, however it ends."""
    ranges = list(RANGES)
    secrets.SystemRandom().shuffle(ranges)
    for first in ranges:
        if (held := _bound(first)) is not None:
            return RayPorts(first, held)
    return RayPorts(ranges[0])


def free_port() -> int:
    """A TCP port nobody listens on at loopback right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _bound(port: int) -> socket.socket | None:
    """A socket that has the port of loopback, without listening; None where another has it."""
    held = socket.socket()
    try:
        held.bind((LOOPBACK, port))
    except OSError:
        held.close()
        return None
    return held
