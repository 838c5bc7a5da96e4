"""The services of the Ray that this process has joined, each with its versions at work."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.errors import NotFoundError, did_you_mean
from ...runtime.settings import Settings
from .rollout import Rollout


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service by its name; versions are numbers in its history, None where this catalog does not know it.

    `canary_percent` is the share of the requests that version `canary` gets; version `shadow` gets copies.
    """

    name: str
    url: str
    version: int | None
    state: str
    replicas: int
    target_replicas: int
    canary: int | None
    canary_percent: float
    shadow: int | None


def services(settings: Settings) -> list[RunningService]:
    """All of them, by name; canaries and shadows belong to the service they are tried out for."""
    from ...runtime import ray_serve

    names = ray_serve.names()
    trials = {trial for name in names for trial in Rollout(name, settings).trials()}
    return [service(name, settings) for name in names if name not in trials]


def service(name: str, settings: Settings) -> RunningService:
    """One of them; raises `NotFoundError`."""
    from ...runtime import ray_serve

    status, url = ray_serve.status(name), ray_serve.url(name)
    if url is None or status.state == "NOT_STARTED":
        raise NotFoundError(f"no service {name!r} runs{did_you_mean(name, ray_serve.names())}")
    at_work = {version.role: version for version in Rollout(name, settings).history() if version.role}
    number = {role: version.number for role, version in at_work.items()}
    return RunningService(
        name=name,
        url=url,
        version=number.get("stable"),
        state=status.state,
        replicas=status.replicas,
        target_replicas=status.target_replicas,
        canary=number.get("canary"),
        canary_percent=at_work["canary"].percent if "canary" in at_work else 0.0,
        shadow=number.get("shadow"),
    )
