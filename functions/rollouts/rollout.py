"""How versions of a service take over from each other: at once, a share first, or watched in the shadow.

The stable version runs under the service's own name; canary and shadow are services of their own beside it, and the
stable replicas pass requests on to them. So whatever happens to a trial, the way of the others is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...runtime import lasting, ray_cluster
from ...runtime.errors import DeploymentError
from ...runtime.settings import Settings
from .client import Client
from .releases import Release, Releases, Step, before, now_us
from .service import Service
from .split import Counts
from .stable_front import LIVE, counts_key
from .traffic import Traffic

_CANARY, _SHADOW = "canary", "shadow"


@dataclass(frozen=True, slots=True)
class Version:
    """A release as history shows it: `role` is stable, canary, shadow or empty, `percent` its share of the requests."""

    number: int
    content: str
    made_us: int
    role: str
    percent: float


@dataclass(frozen=True, slots=True)
class Trial:
    """How a version begins: at once (neither is given), with a share of the requests in percent, or with copies."""

    canary: float | None = None
    shadow: bool = False

    def __post_init__(self) -> None:
        if self.canary is not None and self.shadow:
            raise DeploymentError("canary and shadow at once: deploy it as the one, then as the other")


@dataclass(frozen=True, slots=True)
class Rollout:
    """One service of one cluster, and its releases."""

    name: str
    settings: Settings
    timeout_s: float = 90.0

    def start(self, service: Service, trial: Trial) -> str:
        """Deploys it as the stable version or as a trial beside it; the URL of the service, once it answers."""
        if self.settings.is_exposed and not self.settings.api_keys:
            raise DeploymentError(
                f"services at {self.settings.serve_host} can be called from other machines: set EAGLERAY_API_KEYS, "
                "or unset EAGLERAY_SERVE_HOST to stay on this one"
            )
        if trial.canary is None and not trial.shadow:
            return self.deploy(service)
        return self.try_out(service, canary=trial.canary)

    def deploy(self, service: Service) -> str:
        """Makes it the stable version at once and ends a trial; the URL, once it answers. Raises `DeploymentError`.

        Replicas of the earlier version go on answering until those of this one do.
        """
        with self._releases() as releases:
            release, packed = service.release(), service.packed()
            try:
                url = self._run(releases, release, packed)  # what does not come up is no version
            except DeploymentError:
                if releases.steps(self.name):
                    self._share_out(releases, self._traffic())  # Serve would have nobody answer now
                raise
            self._note_stable(releases, releases.keep(release, packed), "deploy")
            return url

    def try_out(self, service: Service, *, canary: float | None) -> str:
        """Runs it beside the stable version: with that share of the requests, or (None) with copies of them.

        Raises `DeploymentError` when there is no stable version yet.
        """
        with self._releases() as releases:
            stable, traffic = self._stable(releases), self._traffic()
            role = _SHADOW if canary is None else _CANARY
            Traffic("", canary or 0.0)  # a share that is none is refused before anything runs
            release, packed = service.release(), service.packed()
            url = self._run(releases, release, packed, role=role)
            self._note_trial(role, releases.keep(release, packed))
            if canary is None:
                wanted = Traffic(traffic.canary_url, traffic.canary_percent, url)
            else:
                wanted = Traffic(url, canary, traffic.shadow_url)
            return self._run(releases, stable, traffic=wanted)

    def set_canary(self, percent: float) -> None:
        """Changes the canary's share; 0 ends the canary."""
        with self._releases() as releases:
            traffic = self._traffic()
            if not traffic.canary_url:
                raise DeploymentError(f"{self.name} has no canary: deploy a version with canary={percent:g} first")
            url = traffic.canary_url if percent else ""
            self._share_out(releases, Traffic(url, percent, traffic.shadow_url))
            if not percent:
                self._end(_CANARY)

    def update(self, content: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Changes the settings of the running version with that content, and remembers them; no replica restarts.

        `change` makes the settings that hold from those that held. Raises `DeploymentError` where it does not run.
        """
        with self._releases() as releases:
            running = {"": self._stable(releases).number, _CANARY: self._trial(_CANARY), _SHADOW: self._trial(_SHADOW)}
            found = {role: releases.release(self.name, number) for role, number in running.items() if number}
            role = next((role for role, release in found.items() if release.content == content), None)
            if role is None:
                raise DeploymentError(f"version {content} of {self.name} does not run: deploy it first")
            release = found[role]
            releases.set_live(release, change(releases.live(release)))
            self._run(releases, release, role=role, traffic=None if role else self._traffic())

    def end_shadow(self) -> None:
        """No more copies."""
        with self._releases() as releases:
            traffic = self._traffic()
            self._share_out(releases, Traffic(traffic.canary_url, traffic.canary_percent))
            self._end(_SHADOW)

    def promote(self) -> Version:
        """Makes the canary, or else the shadow, the stable version."""
        with self._releases() as releases:
            number = self._trial(_CANARY) or self._trial(_SHADOW)
            if number is None:
                raise DeploymentError(f"{self.name} has neither canary nor shadow: there is nothing to promote")
            self._make_stable(releases, releases.release(self.name, number), "promote")
            return self._version(releases, number)

    def rollback(self, to: int | None = None) -> Version:
        """Makes an earlier release stable again: that of number `to`, or the one before the stable one."""
        with self._releases() as releases:
            steps = releases.steps(self.name)
            number = to if to is not None else before(steps) if steps else None
            if number is None:
                raise DeploymentError(f"{self.name} has no version before this one to go back to")
            self._make_stable(releases, releases.release(self.name, number), "rollback")
            return self._version(releases, number)

    def history(self) -> list[Version]:
        """Every release, the newest first."""
        with self._releases(connect=False) as releases:
            traffic = self._traffic() if ray_cluster.is_up() else Traffic()
            steps = releases.steps(self.name)
            roles = {steps[-1].number: "stable"} if steps else {}
            percents = {steps[-1].number: 100.0 - traffic.canary_percent} if steps else {}
            if traffic.shadow_url and (number := self._trial(_SHADOW)) is not None:
                roles[number] = _SHADOW
            if traffic.canary_url and (number := self._trial(_CANARY)) is not None:
                roles[number], percents[number] = _CANARY, traffic.canary_percent
            return [
                Version(one.number, one.content, one.made_us, roles.get(one.number, ""), percents.get(one.number, 0.0))
                for one in reversed(releases.of(self.name))
            ]

    def trials(self) -> list[str]:
        """The services of their own that canary and shadow are."""
        return [self._service(role) for role in (_CANARY, _SHADOW) if self._trial(role) is not None]

    def compared(self) -> Counts:
        """What became of the requests that canary and shadow had a part in, over all replicas."""
        from ...runtime import ray_kv

        total, traffic = Counts(), self._traffic().as_config()
        for key in ray_kv.keys(counts_key(self.name)):
            told = json.loads(ray_kv.get(key) or b"{}")
            if told.get("traffic") == traffic:
                for name, number in told["counts"].items():
                    setattr(total, name, getattr(total, name) + number)
        return total

    def stop(self) -> None:
        """Answers what is in flight, then ends the replicas, those of trials too; releases are kept."""
        from ...runtime import ray_kv, ray_serve

        for key in (f"config:{self.name}", *ray_kv.keys(counts_key(self.name))):
            ray_kv.delete(key)
        trials = self.trials()
        for role in (_CANARY, _SHADOW):
            self._forget(role)
        ray_serve.delete(self.name, *trials)

    def _make_stable(self, releases: Releases, release: Release, why: str) -> None:
        self._run(releases, release)
        self._note_stable(releases, release, why)

    def _note_stable(self, releases: Releases, release: Release, why: str) -> None:
        steps = releases.steps(self.name)
        if not steps or steps[-1].number != release.number:
            releases.note(self.name, Step(release.number, why, now_us()))
        for role in (_CANARY, _SHADOW):
            self._end(role)

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """What the replicas of every running version have printed, line by line; see `Deployed.logs`."""
        if not ray_cluster.join_lasting(self.settings):
            raise DeploymentError(f"{self.name} runs in no Ray that stays: {lasting.CURE} to where it is deployed")
        from ...runtime import ray_serve

        if ray_serve.status(self.name).state == "NOT_STARTED":
            raise DeploymentError(f"{self.name} is not deployed, so nothing of it can have been printed")
        return ray_serve.logs([self._service(role) for role in ("", _CANARY, _SHADOW)], follow=follow)

    def _service(self, role: str) -> str:
        return f"{self.name}--{role}" if role else self.name

    def _share_out(self, releases: Releases, traffic: Traffic) -> None:
        stable = self._stable(releases)
        self._run(releases, stable, traffic=traffic)

    def _run(
        self,
        releases: Releases,
        release: Release,
        packed: Mapping[str, bytes] | None = None,
        *,
        role: str = "",
        traffic: Traffic | None = None,
    ) -> str:
        """Has Serve run a release, as the stable version or beside it; its URL once it answers."""
        from ...autoscaling import ray_policy
        from ...runtime import ray_kv, ray_serve
        from ...runtime.ray_parts import Part

        name = self._service(role)
        if ray_serve.status(name).state == "NOT_STARTED":
            ray_policy.forget(name)
        config = (traffic or Traffic()).as_config()
        live = releases.live(release)
        builds = packed if packed is not None else releases.packed(release)
        parts = [
            Part(part.name, builds[part.build], part.build, part.resources, ray_policy.autoscaling_config(part.scale))
            for part in release.parts
        ]
        application = ray_serve.Application(
            name=name,
            build=builds[release.build],
            code=release.build,
            resources=release.resources,
            autoscaling=ray_policy.autoscaling_config(release.scale),
            config={**config, LIVE: live} if live else config,
            parts=tuple(parts),
            host=self.settings.serve_host,
        )
        url = ray_serve.deploy(application, timeout_s=self.timeout_s)
        Client.of(url).wait_until_ready(self.timeout_s)
        if not role:
            ray_kv.put(f"config:{self.name}", json.dumps(config).encode())
        return url

    def _stable(self, releases: Releases) -> Release:
        from ...runtime import ray_serve

        steps = releases.steps(self.name)
        if not steps or ray_serve.status(self.name).state == "NOT_STARTED":
            raise DeploymentError(f"{self.name} is not deployed: deploy a version without canary or shadow first")
        return releases.release(self.name, steps[-1].number)

    def _traffic(self) -> Traffic:
        from ...runtime import ray_kv

        found = ray_kv.get(f"config:{self.name}")
        return Traffic.of(json.loads(found) if found else None)

    def _trial(self, role: str) -> int | None:
        from ...runtime import ray_kv

        found = ray_kv.get(f"trial:{self.name}:{role}")
        return None if found is None else int(found)

    def _note_trial(self, role: str, release: Release) -> None:
        from ...runtime import ray_kv

        ray_kv.put(f"trial:{self.name}:{role}", str(release.number).encode())

    def _end(self, role: str) -> None:
        """No request goes there any more, so nobody waits until its replicas are gone."""
        from ...runtime import ray_serve

        if self._trial(role) is not None:
            ray_serve.delete(self._service(role), wait=False)
            self._forget(role)

    def _forget(self, role: str) -> None:
        from ...runtime import ray_kv

        ray_kv.delete(f"trial:{self.name}:{role}")

    def _version(self, releases: Releases, number: int) -> Version:
        release = releases.release(self.name, number)
        return Version(number, release.content, release.made_us, "stable", 100.0)

    @contextmanager
    def _releases(self, *, connect: bool = True) -> Iterator[Releases]:
        if connect:
            ray_cluster.connect(self.settings)
        releases = Releases(self.settings.catalog)
        try:
            yield releases
        finally:
            releases.close()
