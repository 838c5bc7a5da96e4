"""A graph that is served: where it is, what it answers, how it does."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..autoscaling.history import ScalingDecision
from ..autoscaling.scale import Scale
from ..runtime import ray_cluster
from ..runtime.resources import Resources
from ..runtime.settings import Settings
from .asgi import GraphApp
from .client import Client
from .compile import compiled, modules, resolved, version
from .step import Declared, Step, TapSource

if TYPE_CHECKING:
    from ..runtime.ray_serve import ServiceStatus


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` takes POSTs of one JSON object or a list of them; `version` is the content of the graph."""

    name: str
    url: str
    version: str

    def call(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """The answer to one body, or the answers to a list of them; raises the error the service answered with."""
        return Client.of(self.url).post("", body)

    def explain(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """Each feature's contribution to the score, in margin units, and the base value."""
        return Client.of(self.url).post("/explain", body)

    def status(self) -> ServiceStatus:
        """State and replicas now."""
        from ..runtime import ray_serve

        return ray_serve.status(self.name)

    def scaling(self) -> list[ScalingDecision]:
        """What the autoscaler decided since the deployment, oldest first."""
        from ..autoscaling import ray_policy

        return ray_policy.decisions(self.name)

    def stop(self) -> None:
        """Answers what is in flight, then ends the replicas."""
        from ..runtime import ray_serve

        Client.of(self.url).close()
        ray_serve.delete(self.name)


def deploy(
    graph: Declared, *, settings: Settings, scale: Scale, resources: Resources, tap: TapSource | None, timeout_s: float
) -> Endpoint:
    """Starts or updates the graph's service; raises `DeploymentError`, `ModelNotFound`, `ModelMismatch`.

    What can be wrong is found here, before a replica starts: the model is loaded and the vector resolved.
    """
    steps = resolved(graph, settings)
    compiled(graph.name, steps, settings=settings).close()
    ray_cluster.connect(settings)
    from ..autoscaling import ray_policy
    from ..runtime import ray_serve

    name = graph.name
    packed = ray_serve.pack(_build(name, steps, settings, tap), modules=modules(steps, *([tap] if tap else [])))
    content = version(steps)
    wanted = hashlib.sha256(f"{content}\0{settings}\0{scale}\0{resources}\0{tap!r}".encode()).hexdigest()
    if ray_serve.status(name).state == "NOT_STARTED":
        ray_policy.forget(name)
    url = ray_serve.deploy(
        name,
        packed,
        resources=resources,
        autoscaling=ray_policy.autoscaling_config(scale),
        version=wanted,
        timeout_s=timeout_s,
    )
    endpoint = Endpoint(name, url, content)
    Client.of(url).wait_until_ready(timeout_s)
    return endpoint


def _build(name: str, steps: tuple[Step, ...], settings: Settings, tap: TapSource | None) -> Any:
    """What runs in each replica to make its application."""

    def build() -> GraphApp:
        vector = next((step.subject for step in steps if step.kind == "enrich"), None)
        made = compiled(name, steps, settings=settings, tap=tap)
        return GraphApp(made, request_types=dict(getattr(vector, "request", {})), adds_request_id=False)

    return build
