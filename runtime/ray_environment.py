"""The environment variables a Ray of our own starts with: quiet, private, on loopback only.

Ray and Ray Serve read them when a process starts, so they are set before `ray` is first imported. A value the
user has set stays, except where another one would open a port beyond loopback.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Several Rays on a machine have a range of ports each, below those that systems give out by themselves and above those
# of Ray's workers; most of it is for replicas, which take a port each.
RANGES = range(20_000, 30_000, 500)
REPLICA_PORTS = 400
# Names the variables that a Ray of ours has set, for programs that are started while it runs: what is in it is not
# the user's wish, and its ports, token and files are those of another Ray than theirs.
OURS = "EAGLERAY_RAY_ENVIRONMENT"


def telemetry_off() -> dict[str, str]:
    """What holds on every cluster, also on one that we only join."""
    return {"RAY_USAGE_STATS_ENABLED": "0"}


def defaults(token_path: Path) -> dict[str, str]:
    """What a local Ray starts with unless the user has set it."""
    return {
        # Any process of this machine could run code in an open cluster, so ours asks for a token; the
        # token lives in the home folder, not in ~/.ray.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "RAY_worker_niceness": "0",
        # A node ends when the part that makes environments is not up by then; 30 s are little on a busy machine.
        "RAY_agent_register_timeout_ms": "120000",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }


def enforced() -> dict[str, str]:
    """What a local Ray starts with whatever the user has set: the node's address is loopback's.

    The first variable bears the name of other systems, but means "this node is never reached from outside":
    with it every gRPC server of Ray listens on 127.0.0.1 instead of on all addresses.
    """
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def serve(folder: Path, *, haproxy: str | None, ports: tuple[int, int, int], replicas_from: int) -> dict[str, str]:
    """The data path of Ray Serve, for the processes of one local Ray.

    `haproxy` is the program to start as its proxy (None: Serve's own Python proxy, which is slower), `folder` holds
    the proxy's files (a short path: sockets among them), `ports` are free ones for its metrics, its statistics and
    the Python proxy behind it, `replicas_from` is the first of `REPLICA_PORTS` ports for the replicas.
    """
    values = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "0",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
        # With 0, what the user's code prints would go to a logger that drops it.
        "RAY_SERVE_LOG_TO_STDERR": "1",
        # What a part is asked and answers may be as large as a request's body, several together.
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(256 << 20),
        # A request that waits for the first replica is told to the autoscaler by the handle that holds it.
        "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
        # A proxy that is not up by then is killed, and with it the start of Serve: 5 s are little on a busy machine.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # A stopping replica finishes what it has, and stays until a replaced proxy has closed its idle connections
        # (within 1 s, below); the default of half a minute is for load balancers in other places.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1.5",
    }
    if haproxy is None:
        return values
    return values | {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": haproxy,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "h.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "h.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports[0]),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports[1]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports[2]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replicas_from),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(replicas_from + REPLICA_PORTS - 1),
        # Its per-request metrics would be parsed by a Python process, one datagram a request.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        # While a service has no replica that HAProxy knows, the Python proxy stands in, which shall know gRPC, too.
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "eagleray.functions.grpc.grpc_stand_in.middlewares",
    }


def forget_inherited(environ: MutableMapping[str, str]) -> None:
    """Takes out what the Ray of a program that started this one has set."""
    for name in environ.pop(OURS, "").split(","):
        environ.pop(name, None)


def missing(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Those of `values` that `environ` does not set yet."""
    return {name: value for name, value in values.items() if name not in environ}
