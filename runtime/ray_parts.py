"""Parts of a service: steps that have replicas of their own, and which services those are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import ray_kv
from .resources import Resources

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingConfig

_OTHER = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Part:
    """What the replicas of a part run: the application that the pickled function `build` makes.

    `code` tells builds apart; another build is another service, so that each version of the whole finds its own.
    """

    name: str
    build: bytes
    code: str
    resources: Resources
    autoscaling: AutoscalingConfig

    def service(self, whole: str) -> str:
        """The name of the part's service in the service `whole`."""
        return f"{whole}--{_OTHER.sub('-', self.name.lower())[:40]}-{self.code[:8]}"


def note(whole: str, services: Sequence[str]) -> None:
    """Remembers the services that are parts of `whole`."""
    if services:
        ray_kv.put(_key(whole), json.dumps(sorted(set(services))).encode())
    else:
        ray_kv.delete(_key(whole))


def known(whole: str) -> list[str]:
    """The services that are parts of `whole`, of every version that still runs."""
    found = ray_kv.get(_key(whole))
    return [] if found is None else list(json.loads(found))


def _key(whole: str) -> str:
    return f"parts:{whole}"
