"""What is deployed: an application that replicas make, what they need, and how many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from ..autoscaling.scale import Scale
from ..runtime.resources import Resources
from .http_app import HttpApp
from .releases import Release, now_us
from .stable_front import stable_front


@dataclass(frozen=True, slots=True)
class Service:
    """`build` makes the application in each replica, with the user's own `modules` sent along.

    `content` is twelve hex digits of the code, as people see it; `identity` is all that makes replicas different.
    """

    name: str
    build: Callable[[], HttpApp]
    content: str
    identity: str
    modules: tuple[str, ...] = ()
    resources: Resources = Resources()
    scale: Scale = Scale()

    def release(self) -> Release:
        """The service as a release that is not numbered yet."""
        return Release(
            service=self.name,
            number=0,
            content=self.content,
            build=hashlib.sha256(self.identity.encode()).hexdigest(),
            resources=self.resources,
            scale=self.scale,
            made_us=now_us(),
        )

    def packed(self) -> bytes:
        """The application's maker as bytes; raises `DeploymentError` for what cannot travel."""
        from ..runtime import ray_serve

        build, name = self.build, self.name
        return ray_serve.pack(lambda: stable_front(build, name), modules=self.modules)
