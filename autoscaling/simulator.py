"""Runs a policy over a load trace without a cluster: what would have been decided, and who would have waited."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .history import ScalingDecision
from .policy import Memory, decide
from .scale import Scale


@dataclass(frozen=True, slots=True)
class Simulation:
    """The decisions of a run, and what it cost.

    `replica_s` counts replica-seconds paid, `overload_s` seconds in which the replicas that were up held more
    than their target together.
    """

    decisions: tuple[ScalingDecision, ...]
    replica_s: float
    overload_s: float


def simulate(
    trace: Iterable[tuple[float, float]], *, scale: Scale, start_s: float = 3.0, initial: int | None = None
) -> Simulation:
    """The policy over `trace`: (seconds, requests in flight) in order, each holding until the next.

    A new replica works `start_s` after it was decided; the run begins with `initial` (default: the least).
    """
    wanted = max(scale.min, initial if initial is not None else scale.min)
    starting: list[tuple[float, int]] = []
    up = wanted
    memory = Memory()
    decisions: list[ScalingDecision] = []
    replica_s = overload_s = 0.0
    last: tuple[float, float] | None = None
    for now_s, load in trace:
        if last is not None:
            span_s = now_s - last[0]
            replica_s += wanted * span_s
            overload_s += span_s if last[1] > up * scale.target else 0.0
        for ready_s, count in [item for item in starting if item[0] <= now_s]:
            up = min(wanted, max(up, count))
            starting.remove((ready_s, count))
        decision = decide(load, current=wanted, scale=scale, now_s=now_s, memory=memory)
        memory = decision.memory
        if decision.replicas != wanted:
            decisions.append(ScalingDecision(now_s, load, wanted, decision.replicas, decision.reason))
            if decision.replicas > wanted:
                starting.append((now_s + start_s, decision.replicas))
            wanted = decision.replicas
            up = min(up, wanted)
        last = (now_s, load)
    return Simulation(tuple(decisions), replica_s, overload_s)
