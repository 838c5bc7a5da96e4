"""HTTP services on Ray Serve: one deployment of replicas behind one port on loopback.

The data path is client -> HAProxy -> the replica's own server (see ray_environment.serve), or Serve's Python
proxy where there is no HAProxy. A replica runs one ASGI object, made inside it by a function that travels by value.
"""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

with warnings.catch_warnings():
    # Serve declares its settings in a way that pydantic has deprecated, and says so at import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve
    from ray.serve.config import AutoscalingConfig

from . import ray_cluster, ray_kv, ray_logs, ray_parts, ray_ports
from .errors import DeploymentError, ServerUnavailable
from .ray_capacity import misfit
from .ray_environment import LOOPBACK
from .ray_grpc_call import PART
from .ray_parts import Part
from .ray_replica import PartReplica, Replica
from .resources import Resources

INGRESS = "ingress"
# Requests that wait for a slot are seen by nobody when clients reach the replicas directly, so none
# waits: the application object itself counts what is in flight.
MAX_ONGOING = 10_000
_POLL_S = 0.05
_GONE_S = 60.0
_DRAINED_S = 15.0
_ERROR_LINE = re.compile(r"^[\w.]*(Error|Exception|NotFound|Mismatch|Unavailable)\b.*:")


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A service as Serve sees it: `state` is RUNNING, DEPLOYING, UNHEALTHY, DEPLOY_FAILED, DELETING or NOT_STARTED.

    `part_pids` are the running replicas of its parts.
    """

    name: str
    state: str
    replicas: int
    target_replicas: int
    replica_pids: tuple[int, ...]
    message: str = ""
    part_pids: tuple[int, ...] = ()


def start(host: str = LOOPBACK) -> str:
    """The base URL of Serve's HTTP port, which is opened at `host` when it is not yet; Ray must be connected."""
    _quieten()
    if not ray.is_initialized():
        raise ServerUnavailable("Ray is not connected: call eagleray.runtime.ray_cluster.connect(settings) first")
    client = _client()
    if client is None:
        port = ray_cluster.serve_port() or ray_ports.free_port()
        serve.start(http_options={"host": host, "port": port}, proxy_location="HeadOnly")
        client = _client()
    if client is None:
        raise ServerUnavailable("Ray Serve did not start: see its controller's log in the Ray dashboard")
    return _base_url(client)


@dataclass(frozen=True, slots=True)
class Application:
    """What a service runs: the application that the pickled function `build` makes in each replica.

    `code` tells builds apart: with equal `code` and resources a deployment restarts nothing, and a changed `config` is
    handed to the running replicas. `parts` have replicas of their own, which `build` is given the calls of, by their
    names. `host` is where the HTTP port is opened, when it is not open yet.
    """

    name: str
    build: bytes
    code: str
    resources: Resources
    autoscaling: AutoscalingConfig
    config: Mapping[str, Any] | None = None
    parts: tuple[Part, ...] = ()
    host: str = LOOPBACK

    @property
    def key(self) -> bytes:
        """All of it in few bytes."""
        parts = "".join(f" {part.code} {part.resources} {part.autoscaling!r}" for part in self.parts)
        return f"{self.code} {self.resources} {self.autoscaling!r} {self.config}{parts}".encode()


def deploy(application: Application, *, timeout_s: float = 90.0) -> str:
    """Runs the application and returns its URL once every replica of it answers; what runs already is left alone.

    Raises `DeploymentError` with the reason when no replica comes up within `timeout_s`; a first version that fails is
    removed again, an earlier one keeps its replicas.
    """
    name = application.name
    for asked in (application.resources, *(part.resources for part in application.parts)):
        problem = misfit(asked)
        if problem is not None:  # Serve would wait for it
            raise DeploymentError(f"service {name!r} {problem}: ask for less or add a node")
    url = f"{start(application.host)}/{name}"
    before = status(name).state
    if before == "DELETING":
        _wait_until_gone([name])
        before = "NOT_STARTED"
    if before == "RUNNING" and ray_kv.get(_version_key(name)) == application.key:
        return url
    parts = {part.service(name): part for part in application.parts}
    known = ray_parts.known(name)
    ray_parts.note(name, [*known, *parts])
    _wait_until_gone([part for part in parts if status(part).state == "DELETING"])
    try:
        targets = [_part(service, part, application.config) for service, part in parts.items()]
        if before != "NOT_STARTED":  # who serves now goes on until the new parts are there
            _run(targets, timeout_s)
            targets = []
        _run([*targets, _ingress(application)], timeout_s)
    except BaseException:
        if before == "NOT_STARTED":
            delete(name)
        else:
            _end_parts(name, keep=known)
        raise
    ray_kv.put(_version_key(name), application.key)
    if known:
        _await_replaced(name)  # they call the parts before
    _end_parts(name, keep=parts)
    return url


def _run(targets: Sequence[serve.RunTarget], timeout_s: float) -> None:
    """Starts or updates them, and returns once all of their replicas answer."""
    if targets:
        serve.run_many(list(targets), wait_for_applications_running=False)
    for target in targets:
        _wait_until_running(str(target.name), timeout_s)


def _ingress(application: Application) -> serve.RunTarget:
    services = {part.name: part.service(application.name) for part in application.parts}
    deployment = _deployment(Replica, INGRESS, application, application.config)
    bound = deployment.bind(application.build, services) if services else deployment.bind(application.build)
    return serve.RunTarget(bound, name=application.name, route_prefix=f"/{application.name}")


def _part(service: str, part: Part, config: Mapping[str, Any] | None) -> serve.RunTarget:
    """A part is a service that no path leads to; so the replicas of the version before keep theirs until they end."""
    deployment = _deployment(PartReplica, PART, part, config)
    return serve.RunTarget(deployment.bind(part.build), name=service, route_prefix=None)


def _deployment(replica: type, name: str, asked: Application | Part, config: Mapping[str, Any] | None) -> Any:
    deployment: Any = serve.deployment(
        replica,
        name=name,
        user_config=config or {},
        ray_actor_options=asked.resources.ray_options(),
        autoscaling_config=asked.autoscaling,
        max_ongoing_requests=MAX_ONGOING,
        max_constructor_retry_count=2,
        health_check_period_s=1.0,
        health_check_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=10.0,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    # Serve itself would take every deployment for a new version, and restart all replicas for a changed config.
    return deployment.options(_internal=True, version=asked.code)


def _end_parts(name: str, *, keep: Collection[str]) -> None:
    """Ends the other parts, those of versions that do not run."""
    for service in ray_parts.known(name):
        if service in keep:
            continue
        ray_kv.delete(f"warm:{service}")
        serve.delete(service, _blocking=False)
    ray_parts.note(name, list(keep))


def _await_replaced(name: str) -> None:
    """Returns when the replicas before have ended, for as long as they may take."""
    deadline = time.monotonic() + _DRAINED_S
    while any(_text(replica["state"]) == "STOPPING" for replica in _replicas(name, INGRESS)):
        if time.monotonic() > deadline:
            return
        time.sleep(_POLL_S)


def _replicas(name: str, deployment: str) -> list[Any]:
    application = _applications().get(name)
    return [] if application is None else list(application["deployments"].get(deployment, {}).get("replicas", ()))


def status(name: str) -> ServiceStatus:
    """How the service is doing now; a service nobody deployed is NOT_STARTED."""
    application = _applications().get(name)
    if application is None:
        return ServiceStatus(name, "NOT_STARTED", 0, 0, ())
    ingress = application["deployments"].get(INGRESS) or application["deployments"].get(PART, {})
    running = [replica for replica in ingress.get("replicas", ()) if _text(replica["state"]) == "RUNNING"]
    return ServiceStatus(
        name=name,
        state=_text(application["status"]),
        replicas=len(running),
        target_replicas=int(ingress.get("target_num_replicas", 0)),
        replica_pids=_pids(running),
        message=str(ingress.get("message") or application["message"]),
        part_pids=_pids([one for part in ray_parts.known(name) for one in _replicas(part, PART)]),
    )


def _pids(replicas: Sequence[Any]) -> tuple[int, ...]:
    return tuple(sorted(int(one["pid"]) for one in replicas if _text(one["state"]) == "RUNNING"))


def names() -> list[str]:
    """The services that run, canaries and shadows too, sorted."""
    return sorted(
        name
        for name, application in _applications().items()
        if INGRESS in application["deployments"] and _text(application["status"]) != "DELETING"
    )


def url(name: str) -> str | None:
    """Where the service is; None while Serve does not run."""
    client = _client()
    return None if client is None else f"{_base_url(client)}/{name}"


def logs(names: Sequence[str], *, follow: bool = False) -> Iterator[str]:
    """The lines that the services' replicas have printed; with `follow` also those to come, until they are stopped."""

    def workers() -> list[ray_logs.Worker]:
        replicas = [one for name in names for one in _replicas(name, INGRESS)]
        replicas += [one for name in names for part in ray_parts.known(name) for one in _replicas(part, PART)]
        begun = [one for one in replicas if one.get("node_id") and one.get("worker_id")]  # others wait for a process
        return [ray_logs.Worker(one["node_id"], one["worker_id"]) for one in begun]

    return ray_logs.lines(workers, follow=follow)


def delete(*names: str, wait: bool = True) -> None:
    """Stops the services' replicas once they have answered what they hold; no error for one that is not there.

    Returns when they are gone, or with wait=False at once; who deploys the name again meanwhile waits for it.
    """
    client = _client()
    if client is None or not names:
        return
    for name in names:
        ray_kv.delete(_version_key(name))
    parts = [part for name in names for part in ray_parts.known(name)]
    client.delete_apps(list(names), blocking=False)
    if wait or parts:
        _wait_until_gone(names)
    if parts:  # they go after those that call them
        client.delete_apps(parts, blocking=False)
        for name in names:
            ray_parts.note(name, [])
        for part in parts:
            ray_kv.delete(f"warm:{part}")
        if wait:
            _wait_until_gone(parts)


def shutdown() -> None:
    """Ends Serve itself; `ray_cluster.stop` does it too for a Ray of our own."""
    if _client() is not None:
        serve.shutdown()  # type: ignore[no-untyped-call]


def _wait_until_gone(names: Sequence[str]) -> None:
    deadline = time.monotonic() + _GONE_S
    while left := [name for name in names if status(name).state != "NOT_STARTED"]:
        if time.monotonic() > deadline:
            raise DeploymentError(f"services {left} still answer requests after {_GONE_S:g} s: stop them again later")
        time.sleep(_POLL_S)


def _wait_until_running(name: str, timeout_s: float) -> None:
    """Returns when Serve calls the service RUNNING: every replica of this version answered its health check."""
    deadline = time.monotonic() + timeout_s
    while True:
        now = status(name)
        if now.state == "RUNNING":
            return
        if now.state in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise DeploymentError(f"service {name!r} did not start: {_cause(now.message)}")
        if time.monotonic() > deadline:
            reason = _cause(now.message) or "its replicas are still starting"
            raise DeploymentError(
                f"service {name!r} is not up after {timeout_s:g} s: {reason}; give it more time or fewer resources"
            )
        time.sleep(_POLL_S)


def _cause(message: str) -> str:
    """The user's own error out of Serve's report, which is a page of frames."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR_LINE.match(line)]
    line = (errors or lines or [""])[-1]
    return line.removeprefix("eagleray.runtime.errors.")


def _text(state: object) -> str:
    """An enumeration's value, or the text itself."""
    return str(getattr(state, "value", state))


def _applications() -> dict[str, Any]:
    client = _client()
    return {} if client is None else dict(client.get_serve_details()["applications"])


def _version_key(name: str) -> str:
    return f"version:{name}"


def _client() -> Any:
    """Serve's client of this process, or None while Serve does not run."""
    from ray.serve.context import _get_global_client

    return _get_global_client(raise_if_no_controller_running=False)


def _base_url(client: Any) -> str:
    return str(client.root_url).rstrip("/").replace("//0.0.0.0:", f"//{LOOPBACK}:")


def _quieten() -> None:
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
