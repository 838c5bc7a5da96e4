"""Ray Serve's autoscaling hook: turns its context into the policy's arguments and back, and notes what changed.

The hook runs in Serve's controller. From zero replicas Serve starts one by itself when a request waits; the next call
here sees and notes it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..runtime import ray_kv
from .history import ScalingDecision, key, pack, unpack
from .policy import Memory, decide
from .scale import Scale

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingConfig, AutoscalingContext

IN_FLIGHT = "in_flight"


def autoscaling_config(scale: Scale) -> AutoscalingConfig:
    """The scale as Serve wants it, with the policy below."""
    from ..runtime.ray_autoscaling import autoscaling

    return autoscaling(
        "eagleray.autoscaling.ray_policy:ServePolicy",
        asdict(scale),
        least=scale.min,
        most=scale.max,
        target=scale.target,
        window_s=scale.window_s,
    )


class ServePolicy:
    """What Serve calls every 0.1 s; keeps nothing itself, all is in Serve's policy state."""

    def __init__(self, **scale: Any) -> None:
        self._scale = Scale(**scale)

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        load = in_flight(ctx)
        state = ctx.policy_state
        current = ctx.target_num_replicas
        seen = state.get("seen", current)
        if seen != current:
            self._note(ctx, load, seen, current, "a request waited for the first replica")
        memory = Memory(**state["memory"]) if "memory" in state else Memory()
        decision = decide(load, current=current, scale=self._scale, now_s=float(ctx.current_time or 0.0), memory=memory)
        if decision.replicas != current:
            self._note(ctx, load, current, decision.replicas, decision.reason)
        return decision.replicas, {"memory": asdict(decision.memory), "seen": decision.replicas}

    def _note(self, ctx: AutoscalingContext, load: float, before: int, after: int, reason: str) -> None:
        note = key(ctx.app_name or ctx.deployment_name)
        decision = ScalingDecision(float(ctx.current_time or 0.0), load, before, after, reason)
        ray_kv.put(note, pack([*unpack(ray_kv.get(note)), decision]))


def in_flight(ctx: AutoscalingContext) -> float:
    """Requests in flight over all replicas: what they report themselves, or what Serve's handles count if that is more.

    Handles hold what waits for a first replica; replicas reached directly know what handles do not.
    """
    reported = (ctx.aggregated_metrics or {}).get(IN_FLIGHT, {})
    return max(sum(reported.values()), float(ctx.total_num_requests or 0.0))


def decisions(service: str) -> list[ScalingDecision]:
    """What was decided for a service so far, oldest first."""
    return unpack(ray_kv.get(key(service)))


def forget(service: str) -> None:
    """Drops a service's decisions."""
    ray_kv.delete(key(service))
