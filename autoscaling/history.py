"""What the autoscaler decided: a list of changes, newest last, small enough to keep as one note."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

CAPACITY = 200


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """One change of a service's count: Unix time, requests in flight, the counts before and after, and why."""

    time_s: float
    load: float
    before: int
    after: int
    reason: str

    def __str__(self) -> str:
        return f"load {self.load:.0f} in flight -> {self.after} replica{'' if self.after == 1 else 's'}"


def pack(decisions: Sequence[ScalingDecision]) -> bytes:
    """The newest `CAPACITY` decisions as JSON."""
    return json.dumps([asdict(decision) for decision in decisions[-CAPACITY:]]).encode()


def unpack(note: bytes | None) -> list[ScalingDecision]:
    """What `pack` wrote; nothing gives an empty list."""
    return [] if note is None else [ScalingDecision(**fields) for fields in json.loads(note)]


def key(service: str) -> str:
    """Under which key of the cluster's notes a service's decisions lie."""
    return f"scaling:{service}"
