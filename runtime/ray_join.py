"""Joining a Ray cluster that runs already, and keeping Ray's chatter off the terminal."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from . import ray_environment
from .errors import ServerUnavailable

TIMEOUT_S = 5.0
_CURE = "start that cluster, correct RAY_ADDRESS, or unset it to use this machine"


def join(address: str, *, namespace: str) -> None:
    """Connects this process to the cluster at "HOST:PORT", "ray://HOST:PORT" or "auto"; raises `ServerUnavailable`.

    What is wrong is found within some 10 s; ray.init itself would try for minutes.
    """
    if address not in ("auto", "local"):
        host, port = _parsed(address)
        _probe(address, host, port)
    # Read when ray is imported; a cluster that has just answered needs no twenty attempts.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
    import ray
    from ray._private import ray_constants

    if address not in ("auto", "local") and _only_on_loopback(host, port):
        # Ray would look for it at this machine's outer address.
        os.environ.update(ray_environment.enforced())
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with quiet():
            ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        cure = f"{_CURE}; if it asks for a token, set RAY_AUTH_TOKEN_PATH"
        raise ServerUnavailable(f"cannot join the Ray cluster at {address!r} ({reason}): {cure}") from None
    silence_raylet()


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ServerUnavailable(f"RAY_ADDRESS {address!r} is no address: write HOST:PORT or ray://HOST:PORT")
    return host.strip("[]"), int(port)


def _probe(address: str, host: str, port: int) -> None:
    """Raises `ServerUnavailable` when nobody listens there, or something that cannot be Ray."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as server:
            # gRPC speaks HTTP/2: both sides begin with a settings frame, whose fourth byte is 4.
            server.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            hello = server.recv(9)
    except OSError as error:
        raise ServerUnavailable(f"no Ray cluster answers at {address!r} ({error}): {_CURE}") from None
    if hello[3:4] != b"\x04":
        raise ServerUnavailable(f"what listens at {address!r} is no Ray cluster: {_CURE}")


def _only_on_loopback(host: str, port: int) -> bool:
    """True for a cluster of this machine that does not listen at the machine's outer address, like those we start."""
    import ray

    with contextlib.suppress(ValueError):
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            return False
    outer = str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
    try:
        socket.create_connection((outer, port), timeout=TIMEOUT_S).close()
    except OSError:
        return True
    return False


def silence_raylet() -> None:
    """Keeps Ray's reports of lost workers, a paragraph each, off standard output; who waits for one gets an error."""
    from ray._private import worker

    written = worker.print_to_stdstream

    def print_workers_only(data: dict[str, Any], ignore_prefix: bool) -> None:
        if data.get("pid") != "raylet":
            written(data, ignore_prefix)

    worker.print_to_stdstream = print_workers_only


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Ray's start-up lines off the terminal; errors still pass."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(max(before, logging.ERROR))
