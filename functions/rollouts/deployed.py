"""A service that answers over HTTP and gRPC: where it is, how it does, and how its versions change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...autoscaling.history import ScalingDecision
from ...runtime.errors import ServerUnavailable
from ...runtime.settings import Settings
from .client import Client
from .rollout import Rollout, Version
from .split import Counts

if TYPE_CHECKING:
    from ...runtime.ray_serve import ServiceStatus


@dataclass(frozen=True, slots=True)
class Deployed:
    """`url` is where it takes POSTs; `version` is the content that was deployed, twelve hex digits."""

    name: str
    url: str
    version: str
    settings: Settings = field(repr=False, compare=False, kw_only=True)

    @property
    def grpc_address(self) -> str:
        """Where it takes calls of gRPC, for `GrpcClient` and others: host and port, those of its URL.

        Raises `ServerUnavailable` where no HAProxy stands in front, which alone speaks HTTP/2; Ray brings it on Linux.
        """
        from ...runtime import haproxy_launch

        if haproxy_launch.binary() is None:
            raise ServerUnavailable(f"{self.name} takes no gRPC here: there is no HAProxy for this system; use HTTP")
        return urlsplit(self.url).netloc

    def status(self) -> ServiceStatus:
        """State and replicas now."""
        from ...runtime import ray_serve

        return ray_serve.status(self.name)

    def scaling(self) -> list[ScalingDecision]:
        """What the autoscaler decided since the deployment, oldest first."""
        from ...autoscaling import ray_policy

        return ray_policy.decisions(self.name)

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """What the running replicas have printed, line by line; with `follow` it goes on until the service is stopped.

        With `HttpOptions(access_log=True)` each request is a line, too. A replica's own lines are in order. Raises
        `DeploymentError` when the service is not deployed.
        """
        return self._rollout().logs(follow=follow)

    def history(self) -> list[Version]:
        """Every version that was ever deployed under this name, the newest first, with its share of the requests."""
        return self._rollout().history()

    def rollback(self, to: int | None = None) -> Version:
        """Makes an earlier version stable again, that of number `to` or the one before; no request is lost."""
        return self._rollout().rollback(to)

    def canary(self, percent: float) -> None:
        """Changes the share of the canary that was deployed with `canary=`; 0 ends it."""
        self._rollout().set_canary(percent)

    def promote(self) -> Version:
        """Makes the canary, or else the shadow, the stable version; no request is lost."""
        return self._rollout().promote()

    def end_shadow(self) -> None:
        """Ends the shadow that was deployed with `shadow=True`."""
        self._rollout().end_shadow()

    def compared(self) -> Counts:
        """How canary and shadow have done so far; replicas tell it about twice a second."""
        return self._rollout().compared()

    def stop(self) -> None:
        """Answers what is in flight, then ends the replicas; versions are remembered."""
        self._client().close()
        self._rollout().stop()

    def _client(self) -> Client:
        return Client.of(self.url, keys=self.settings.api_keys)

    def _rollout(self) -> Rollout:
        return Rollout(self.name, self.settings)
