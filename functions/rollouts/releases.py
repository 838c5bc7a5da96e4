"""Every version of every service that was ever deployed, with what it takes to run it again."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...autoscaling.scale import Scale
from ...runtime.errors import InputError, NotFoundError
from ...runtime.resources import Resources
from ...runtime.sql_catalog import Catalog, Document

_RELEASE, _BUILD, _ROLLOUT, _LIVE = "release", "build", "rollout", "live"


@dataclass(frozen=True, slots=True)
class PartRelease:
    """What has replicas of its own in a release; `build` names its code."""

    name: str
    build: str
    resources: Resources
    scale: Scale

    def as_dict(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "name": self.name, "build": self.build, "resources": self.resources.as_dict(), "scale": asdict(self.scale)
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a service: `number` counts from 1, equal content is the same release; `build` names its code."""

    service: str
    number: int
    content: str
    build: str
    resources: Resources
    scale: Scale
    made_us: int
    parts: tuple[PartRelease, ...] = ()

    @property
    def key(self) -> str:
        """What must be equal for a deployment to change nothing."""
        parts = f"\0{self.parts}" if self.parts else ""
        return hashlib.sha256(f"{self.build}\0{self.scale}\0{self.resources}{parts}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Step:
    """A release became the stable one: `why` is deploy, promote or rollback."""

    number: int
    why: str
    at_us: int


class Releases:
    """The releases in the catalog. `close` gives its connections back."""

    def __init__(self, url: str) -> None:
        self._catalog = Catalog(url)

    def keep(self, release: Release, packed: Mapping[str, bytes]) -> Release:
        """Remembers a release and its builds; the same with its number, which is an old one for old content."""
        for name, content in packed.items():
            build = {"packed": base64.b64encode(content).decode("ascii")}
            self._catalog.put(_BUILD, name, content_hash=name, body=build)
        body = {
            "content": release.content,
            "build": release.build,
            "resources": release.resources.as_dict(),
            "scale": asdict(release.scale),
            "parts": [part.as_dict() for part in release.parts],
        }
        return _release(self._catalog.put(_RELEASE, release.service, content_hash=release.key, body=body))

    def packed(self, release: Release) -> dict[str, bytes]:
        """The builds of a release and its parts, as they were packed, by name."""
        made = {}
        for name in (release.build, *(part.build for part in release.parts)):
            found = self._catalog.active(_BUILD, name)
            if found is None:
                raise NotFoundError(f"the build of {release.service} {release.number} is gone: deploy it anew")
            made[name] = base64.b64decode(found.body["packed"])
        return made

    def live(self, release: Release) -> dict[str, Any]:
        """The settings that were changed while the release was served, for replicas that start."""
        found = self._catalog.active(_LIVE, release.key)
        return {} if found is None else dict(found.body)

    def set_live(self, release: Release, live: Mapping[str, Any]) -> None:
        """Remembers them; raises `InputError` for what is no plain JSON."""
        try:
            text = json.dumps(live, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"settings must be plain JSON values: {error}") from None
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._catalog.put(_LIVE, release.key, content_hash=digest, body=json.loads(text))

    def of(self, service: str) -> list[Release]:
        """All releases of a service, the oldest first."""
        return [_release(found) for found in self._catalog.versions(_RELEASE, service)]

    def release(self, service: str, number: int) -> Release:
        """One of them; raises `NotFoundError`."""
        found = {one.number: one for one in self.of(service)}
        if number not in found:
            known = ", ".join(map(str, found)) or "none"
            raise NotFoundError(f"{service} has no version {number}; known: {known}")
        return found[number]

    def note(self, service: str, step: Step) -> None:
        """Remembers that a release became the stable one."""
        self._catalog.put(_ROLLOUT, service, content_hash=f"{step.at_us}:{step.number}", body=asdict(step))

    def steps(self, service: str) -> list[Step]:
        """Which release was the stable one when, the oldest first."""
        return [Step(**found.body) for found in self._catalog.versions(_ROLLOUT, service)]

    def close(self) -> None:
        """Gives the connections back."""
        self._catalog.close()


def now_us() -> int:
    """The time, in microseconds since 1970."""
    return time.time_ns() // 1_000


def before(steps: list[Step]) -> int | None:
    """The release that was stable before the one that is now; None where there was none."""
    return next((step.number for step in reversed(steps) if step.number != steps[-1].number), None)


def _release(found: Document) -> Release:
    body = found.body
    return Release(
        service=found.name,
        number=found.version,
        content=body["content"],
        build=body["build"],
        resources=Resources(**body["resources"]),
        scale=Scale(**body["scale"]),
        made_us=found.created_us,
        parts=tuple(_part(part) for part in body.get("parts", ())),
    )


def _part(body: dict[str, Any]) -> PartRelease:
    return PartRelease(body["name"], body["build"], Resources(**body["resources"]), Scale(**body["scale"]))
