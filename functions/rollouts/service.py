"""What is deployed: an application that replicas make, what they need, and how many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...autoscaling.scale import Scale
from ...runtime.packages import Packaged
from ...runtime.resources import Resources
from .releases import PartRelease, Release, now_us
from .stable_front import stable_front

Build = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ServicePart:
    """Work that has replicas of its own, called by those of the service: `build` makes in each what answers bytes with
    bytes. The other fields are as for `Service`."""

    name: str
    build: Build
    identity: str
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    resources: Resources = Resources()
    scale: Scale = Scale()

    def release(self) -> PartRelease:
        """The part of a release."""
        return PartRelease(self.name, _hash(self.identity), self.resources, self.scale)


@dataclass(frozen=True, slots=True)
class Service:
    """`build` makes the application in each replica, with the user's own `modules` sent along and `packages` installed.

    With `parts` it is given the calls of them, by name. `content` is twelve hex digits of the code, as people see it;
    `identity` is all that makes replicas different.
    """

    name: str
    build: Build
    content: str
    identity: str
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    resources: Resources = Resources()
    scale: Scale = Scale()
    parts: tuple[ServicePart, ...] = ()

    def release(self) -> Release:
        """The service as a release that is not numbered yet."""
        return Release(
            service=self.name,
            number=0,
            content=self.content,
            build=_hash(self.identity),
            resources=self.resources,
            scale=self.scale,
            made_us=now_us(),
            parts=tuple(part.release() for part in self.parts),
        )

    def packed(self) -> dict[str, bytes]:
        """The makers of application and parts as bytes, by their builds; raises `DeploymentError` for what cannot
        travel."""
        from ...runtime import packed_build

        build, name = _carried(self.build, self.modules, self.packages), self.name
        front: Build = lambda *calls: stable_front(lambda: build(*calls), name)  # noqa: E731 - what is pickled
        found = {_hash(self.identity): packed_build.pack(front, modules=self.modules)}
        for part in self.parts:
            made = _carried(part.build, part.modules, part.packages)
            found[part.release().build] = packed_build.pack(made, modules=part.modules)
        return found


def _carried(build: Build, modules: tuple[str, ...], packages: tuple[str, ...]) -> Build:
    """The function, read back only where its packages are."""
    if not packages:
        return build
    from ...runtime import packed_build

    packed = Packaged(packages, packed_build.pack(build, modules=modules))
    return lambda *given: packed.open()(*given)


def _hash(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()
