"""HTTP services on Ray Serve: one deployment of replicas behind one port on loopback.

The data path is client -> HAProxy -> the replica's own server (see ray_environment.serve), or Serve's Python
proxy where there is no HAProxy. A replica runs one ASGI object, made inside it by a function that travels by value.
"""

from __future__ import annotations

import logging
import pickle
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import ray

with warnings.catch_warnings():
    # Serve declares its settings in a way that pydantic has deprecated, and says so at import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from . import ray_cluster, ray_ingress, ray_kv, ray_logs, ray_ports
from .asgi import AsgiApp
from .errors import DeploymentError, ServerUnavailable
from .ray_capacity import misfit
from .ray_environment import LOOPBACK
from .resources import Resources

INGRESS = "ingress"
# Requests that wait for a slot are seen by nobody when clients reach the replicas directly, so none
# waits: the application object itself counts what is in flight.
MAX_ONGOING = 10_000
_POLL_S = 0.05
_GONE_S = 60.0
_REPORT_EVERY_S = 0.5
_ERROR_LINE = re.compile(r"^[\w.]*(Error|Exception|NotFound|Mismatch|Unavailable)\b.*:")


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A service as Serve sees it: `state` is RUNNING, DEPLOYING, UNHEALTHY, DEPLOY_FAILED, DELETING or NOT_STARTED."""

    name: str
    state: str
    replicas: int
    target_replicas: int
    replica_pids: tuple[int, ...]
    message: str = ""


@serve.ingress()
class Replica:
    """One replica: unpacks the application when it starts, and tells the autoscaler what is in flight."""

    def __init__(self, packed_build: bytes) -> None:
        ray_ingress.serve_on_loopback()
        self._app: AsgiApp = cloudpickle.loads(packed_build)()
        ray_ingress.shorten(self._app)

    def __serve_build_asgi_app__(self) -> AsgiApp:
        return ray_ingress.LongWay(self._app)

    def reconfigure(self, config: Mapping[str, Any] | None) -> None:
        """Called by Serve before the first request and whenever the configuration changes; no restart."""
        configure = getattr(self._app, "configure", None)
        if configure is not None:
            configure(config)

    def record_autoscaling_stats(self) -> dict[str, float]:
        in_flight = getattr(self._app, "in_flight", None)
        return {} if in_flight is None else {"in_flight": float(in_flight())}

    def __del__(self) -> None:
        close = getattr(getattr(self, "_app", None), "close", None)
        if close is not None:
            close()


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


def autoscaling(
    policy: str, arguments: Mapping[str, Any], *, least: int, most: int, target: float, window_s: float
) -> AutoscalingConfig:
    """Replicas from `least` to `most` as the class at "module:Class", made with `arguments`, decides.

    Load is averaged over `window_s`. Delays are the policy's own, so Serve's are zero.
    """
    with warnings.catch_warnings():
        # The interval is deprecated in favour of a variable that replicas do not read yet.
        warnings.simplefilter("ignore")
        return AutoscalingConfig(
            min_replicas=least,
            max_replicas=most,
            initial_replicas=max(1, least),
            target_ongoing_requests=target,
            upscale_delay_s=0.0,
            downscale_delay_s=0.0,
            metrics_interval_s=_REPORT_EVERY_S,
            look_back_period_s=window_s,
            policy=AutoscalingPolicy(policy_function=policy, policy_kwargs=dict(arguments)),  # type: ignore[no-untyped-call]
        )


@dataclass(frozen=True, slots=True)
class Application:
    """What a service runs: the application that the pickled function `build` makes in each replica.

    `code` tells builds apart: with equal `code` and resources a deployment restarts nothing, and a changed `config` is
    handed to the running replicas. `host` is where the HTTP port is opened, when it is not open yet.
    """

    name: str
    build: bytes
    code: str
    resources: Resources
    autoscaling: AutoscalingConfig
    config: Mapping[str, Any] | None = None
    host: str = LOOPBACK

    @property
    def key(self) -> bytes:
        """All of it in few bytes."""
        return f"{self.code} {self.resources} {self.autoscaling!r} {self.config}".encode()


def deploy(application: Application, *, timeout_s: float = 90.0) -> str:
    """Runs the application and returns its URL once every replica of it answers; what runs already is left alone.

    Raises `DeploymentError` with the reason when no replica comes up within `timeout_s`; a first version that fails is
    removed again, an earlier one keeps its replicas.
    """
    name = application.name
    problem = misfit(application.resources)
    if problem is not None:  # Serve would wait for it
        raise DeploymentError(f"service {name!r} {problem}: ask for less or add a node")
    url = f"{start(application.host)}/{name}"
    before = status(name).state
    if before == "DELETING":
        _wait_until_gone([name])
        before = "NOT_STARTED"
    if before == "RUNNING" and ray_kv.get(_version_key(name)) == application.key:
        return url
    deployment: Any = serve.deployment(
        Replica,
        name=INGRESS,
        user_config=application.config or {},
        ray_actor_options=application.resources.ray_options(),
        autoscaling_config=application.autoscaling,
        max_ongoing_requests=MAX_ONGOING,
        max_constructor_retry_count=2,
        health_check_period_s=1.0,
        health_check_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=10.0,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    # Serve itself would take every deployment for a new version, and restart all replicas for a changed config.
    deployment = deployment.options(_internal=True, version=application.code)
    target = serve.RunTarget(deployment.bind(application.build), name=name, route_prefix=f"/{name}")
    serve.run_many([target], wait_for_applications_running=False)
    try:
        _wait_until_running(name, timeout_s)
    except BaseException:
        if before == "NOT_STARTED":
            delete(name)
        raise
    ray_kv.put(_version_key(name), application.key)
    return url


def pack(build: Callable[[], AsgiApp], *, modules: Sequence[str] = ()) -> bytes:
    """The function as bytes for `deploy`; the user's own `modules` go along, for replicas do not have their files."""
    named = [sys.modules[name] for name in modules if name in sys.modules and name != "__main__"]
    already = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in named if module.__name__ not in already]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        packed: bytes = cloudpickle.dumps(build)
    except (TypeError, pickle.PicklingError) as error:
        raise DeploymentError(
            f"a step cannot travel to the replicas ({error}): create connections, locks and files in its setup()"
        ) from None
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)
    return packed


def status(name: str) -> ServiceStatus:
    """How the service is doing now; a service nobody deployed is NOT_STARTED."""
    application = _applications().get(name)
    if application is None:
        return ServiceStatus(name, "NOT_STARTED", 0, 0, ())
    ingress = application["deployments"].get(INGRESS, {})
    running = [replica for replica in ingress.get("replicas", ()) if _text(replica["state"]) == "RUNNING"]
    return ServiceStatus(
        name=name,
        state=_text(application["status"]),
        replicas=len(running),
        target_replicas=int(ingress.get("target_num_replicas", 0)),
        replica_pids=tuple(sorted(int(replica["pid"]) for replica in running)),
        message=str(ingress.get("message") or application["message"]),
    )


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
        client = _client()
        found = {} if client is None else client.get_serve_details()["applications"]
        ingresses = [found[name]["deployments"].get(INGRESS, {}) for name in names if name in found]
        replicas = [one for ingress in ingresses for one in ingress.get("replicas", [])]
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
    client.delete_apps(list(names), blocking=False)
    if wait:
        _wait_until_gone(names)


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
