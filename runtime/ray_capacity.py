"""What the cluster has room for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray

from . import ray_cluster
from .resources import Resources


def slots(resources: Resources, cluster: Mapping[str, float]) -> int:
    """How many calls the cluster runs at the same time, at least one."""
    fits = [cluster.get(name, 0.0) / want for name, want in wanted(resources).items() if want]
    return max(1, int(min(fits, default=cluster.get("CPU", 1.0))))


def cluster_resources() -> Mapping[str, float]:
    """What all nodes together have."""
    untyped: Any = ray.cluster_resources
    found: Mapping[str, float] = untyped()
    return found


def misfit(resources: Resources) -> str | None:
    """Like "asks 2 GPU, the largest node has 0" for what no node can ever give; None where some node can.

    A cluster that adds nodes by itself may yet get one that is larger, so it is never told so.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    for kind, amount in wanted(resources).items():
        most = max((float(node.get(kind, 0)) for node in nodes), default=0.0)
        if amount > most and not _grows():
            return f"asks {amount:g} {kind}, the largest node has {most:g}"
    return None


def wanted(resources: Resources) -> dict[str, float]:
    """The needs under Ray's names."""
    return {"CPU": resources.cpus, "GPU": resources.gpu, "memory": resources.memory_bytes, **resources.custom}


def _grows() -> bool:
    """True where an autoscaler may watch the cluster; a Ray of our own is this machine and no more."""
    if ray_cluster.is_local():
        return False
    from ray.experimental import internal_kv

    return internal_kv._internal_kv_get(b"__autoscaling_status") is not None
