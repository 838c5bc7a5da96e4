"""How many replicas a load needs: a pure function of load, time and what was seen before. Knows no Ray.

Load is requests in flight over all replicas, those that wait included. A count changes only when the load has asked for
another one without a break for the whole delay, and a load near the edge between two counts asks for neither:
replicas cost seconds to start, so flapping costs more than a replica too many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .scale import Scale

# A replica may hold this much more than its target before another is wanted.
SLACK = 0.1


@dataclass(frozen=True, slots=True)
class Memory:
    """What the policy remembers from call to call: since when, and how strongly, the load asks for another count.

    `since_s` is None while it asks for none; `strongest` is the largest count asked for since then.
    """

    direction: int = 0
    since_s: float | None = None
    strongest: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The count to run now and why; `memory` goes into the next call."""

    replicas: int
    reason: str
    memory: Memory


def decide(load: float, *, current: int, scale: Scale, now_s: float, memory: Memory) -> Decision:
    """The replicas to run at `now_s` under `load` requests in flight, when `current` is the count wanted so far.

    `now_s` is any clock that does not go back.
    """
    wanted = _wanted(load, current, scale)
    held = _clamp(current, scale)
    if held != current:
        return Decision(held, f"{current} replicas is outside {scale.min} to {scale.max}", Memory())
    if current == 0 and wanted > 0:
        # Somebody waits and nobody works: no delay.
        return Decision(wanted, f"{_load(load)} and no replica: wake up", Memory())
    if wanted == current:
        return Decision(current, f"{_load(load)} fits {current} x {scale.target:g}", Memory())
    direction = 1 if wanted > current else -1
    if memory.direction != direction or memory.since_s is None:
        memory = Memory(direction, now_s, wanted)
    else:
        memory = replace(memory, strongest=max(memory.strongest, wanted))
    delay_s = _delay_s(scale, direction, wanted)
    waited_s = now_s - (now_s if memory.since_s is None else memory.since_s)
    # 1e-6: two clock readings subtracted may miss the delay by a rounding.
    if waited_s + 1e-6 < delay_s:
        return Decision(current, f"{_load(load)} asks for {wanted}, waiting {delay_s:g} s", memory)
    # Upwards what the load asks now; downwards no lower than what it asked at any moment of the delay.
    count = wanted if direction > 0 else memory.strongest
    return Decision(count, _reason(load, count, delay_s, direction), Memory())


def _wanted(load: float, current: int, scale: Scale) -> int:
    """The count the load asks for; `current` when it is near enough."""
    needed = math.ceil(load / scale.target - 1e-9)
    if needed > current > 0 and load <= current * scale.target * (1 + SLACK):
        needed = current
    if 0 < needed < current and load > (current - 1) * scale.target * (1 - SLACK):
        needed = current
    return _clamp(needed, scale)


def _clamp(count: int, scale: Scale) -> int:
    return max(scale.min, min(scale.max, count))


def _delay_s(scale: Scale, direction: int, wanted: int) -> float:
    if direction > 0:
        return scale.up_delay_s
    if wanted == 0 and scale.idle_delay_s is not None:
        return scale.idle_delay_s
    return scale.down_delay_s


def _reason(load: float, count: int, delay_s: float, direction: int) -> str:
    if count == 0:
        return f"no request for {delay_s:g} s"
    return f"{_load(load)} for {delay_s:g} s {'needs' if direction > 0 else 'needs only'} {count}"


def _load(load: float) -> str:
    return f"{load:.0f} in flight" if load >= 10 or load == int(load) else f"{load:.1f} in flight"
