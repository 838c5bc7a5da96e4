"""What is deployed: an application that replicas make, what they need, and how many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from ..autoscaling.scale import Scale
from ..runtime import ray_cluster
from ..runtime.resources import Resources
from ..runtime.settings import Settings
from .client import Client
from .http_app import HttpApp


@dataclass(frozen=True, slots=True)
class Service:
    """`build` makes the application in each replica, with the user's own `modules` sent along.

    `content` is what code and data come to: with equal content and needs a deployment changes nothing.
    """

    name: str
    build: Callable[[], HttpApp]
    content: str
    modules: tuple[str, ...] = ()
    resources: Resources = Resources()
    scale: Scale = Scale()

    @property
    def version(self) -> str:
        """The content together with how it is run."""
        whole = f"{self.content}\0{self.scale}\0{self.resources}"
        return hashlib.sha256(whole.encode()).hexdigest()


def start(service: Service, *, settings: Settings, timeout_s: float) -> str:
    """Starts or updates the service's replicas and returns its URL once it answers; raises `DeploymentError`.

    Replicas of an earlier version go on answering until those of this one do.
    """
    ray_cluster.connect(settings)
    from ..autoscaling import ray_policy
    from ..runtime import ray_serve

    packed = ray_serve.pack(service.build, modules=service.modules)
    if ray_serve.status(service.name).state == "NOT_STARTED":
        ray_policy.forget(service.name)
    url = ray_serve.deploy(
        service.name,
        packed,
        resources=service.resources,
        autoscaling=ray_policy.autoscaling_config(service.scale),
        version=service.version,
        timeout_s=timeout_s,
    )
    Client.of(url).wait_until_ready(timeout_s)
    return url
