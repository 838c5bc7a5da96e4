"""A deployment of a stream: how many workers, and what each is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deployment:
    """`full_name` is the feature set version's, `cpus` what each worker reserves of the cluster."""

    full_name: str
    workers: int = 1
    source: str | None = None
    cpus: float = 0.0
    lease_s: float = 5.0
