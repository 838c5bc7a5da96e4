"""Every version of every service that was ever deployed, with what it takes to run it again."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import asdict, dataclass

from ..autoscaling.scale import Scale
from ..runtime.errors import NotFoundError
from ..runtime.resources import Resources
from ..runtime.sql_catalog import Catalog, Document

_RELEASE, _BUILD, _ROLLOUT = "release", "build", "rollout"


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

    @property
    def key(self) -> str:
        """What must be equal for a deployment to change nothing."""
        return hashlib.sha256(f"{self.build}\0{self.scale}\0{self.resources}".encode()).hexdigest()


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

    def keep(self, release: Release, packed: bytes) -> Release:
        """Remembers a release and its build; the same with its number, which is an old one for old content."""
        build = {"packed": base64.b64encode(packed).decode("ascii")}
        self._catalog.put(_BUILD, release.build, content_hash=release.build, body=build)
        body = {
            "content": release.content,
            "build": release.build,
            "resources": release.resources.as_dict(),
            "scale": asdict(release.scale),
        }
        return _release(self._catalog.put(_RELEASE, release.service, content_hash=release.key, body=body))

    def packed(self, release: Release) -> bytes:
        """The build of a release, as it was packed."""
        found = self._catalog.active(_BUILD, release.build)
        if found is None:
            raise NotFoundError(f"the build of {release.service} {release.number} is gone: deploy it anew")
        return base64.b64decode(found.body["packed"])

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
    )
