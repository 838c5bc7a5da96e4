"""What starting a Ray of our own needs and ray.init has no word for."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import ray_no_agent
from .errors import ServerUnavailable

PATIENCE_S = 120.0
_ASK_EVERY_S = 0.05
_AGENT = "--dashboard_agent_command="
_PRESTARTED = "--num_prestart_python_workers="


@contextlib.contextmanager
def with_pages(free: Callable[[], int]) -> Iterator[None]:
    """Has the agents of Ray's pages listen at ports that are `free`: two Rays beside each other would want the same
    ones, and a node that is told them need not wait until its agents have loaded; it gives up after 15 s. The server of
    the pages loads meanwhile; at the end of the block it is up, or `ServerUnavailable` is raised."""
    from ray import _raylet
    from ray._private import node
    from ray.experimental import internal_kv

    node_class: Any = node.Node
    serves_pages, begins_node = node_class.start_api_server, node_class.start_raylet
    asks = internal_kv._internal_kv_get
    servers: list[subprocess.Popen[bytes]] = []
    ports = {f"{name}_port": free() for name in ("dashboard_agent_listen", "metrics_agent", "runtime_env_agent")}

    def start_beside(self: Any, **how: Any) -> None:
        address = f"{self._ray_params.dashboard_host}:{self._ray_params.dashboard_port}".encode()
        vars(internal_kv)["_internal_kv_get"] = lambda *_, **__: address  # Ray waits for it to be told there
        try:
            serves_pages(self, **how)
        finally:
            vars(internal_kv)["_internal_kv_get"] = asks
        servers.append(self.all_processes["dashboard"][0].process)

    def begin_node(self: Any, *args: Any, **how: Any) -> None:
        told: Any = vars(_raylet)["persist_port"]
        for name, port in (ports | {"metrics_export_port": self._ray_params.metrics_export_port}).items():
            told(self.get_session_dir_path(), self.node_id, name, port)
        begins_node(self, *args, **how)

    node_class.start_api_server, node_class.start_raylet = start_beside, begin_node
    try:
        with _parameters(**ports):
            yield
    finally:
        node_class.start_api_server, node_class.start_raylet = serves_pages, begins_node
    deadline = time.monotonic() + PATIENCE_S
    for server in servers:
        while asks("dashboard", namespace=b"dashboard") is None:
            if server.poll() is not None or time.monotonic() > deadline:
                raise ServerUnavailable("Ray's pages do not come up: try again, or without them")
            time.sleep(_ASK_EVERY_S)


@contextlib.contextmanager
def without_pages(free: Callable[[], int]) -> Iterator[None]:
    """Starts only what a Ray without pages needs: no server and agent of the pages, no autoscaler of clusters, nobody
    who sends what workers print to a terminal that does not show it. They take longer to load than all the rest."""
    from ray._private import node, services

    begin: Any = services.start_ray_process
    node_class: Any = node.Node
    serves_pages = node_class.start_api_server

    def begin_without(command: list[str], *args: Any, **kwargs: Any) -> Any:
        return begin([_changed(word) for word in command], *args, **kwargs)

    vars(services)["start_ray_process"] = begin_without
    node_class.start_api_server = lambda *_, **__: None
    try:
        with _parameters(no_monitor=True, include_log_monitor=False, runtime_env_agent_port=free()):
            yield
    finally:
        vars(services)["start_ray_process"] = begin
        node_class.start_api_server = serves_pages


def _changed(word: str) -> str:
    """An argument of the raylet, as a Ray without pages has it."""
    if word.startswith(_PRESTARTED):  # ray.init would wait until they have loaded; they come when they are needed
        return f"{_PRESTARTED}0"
    if not word.startswith(_AGENT):
        return word
    script = [sys.executable, "-I", "-S", os.path.abspath(ray_no_agent.__file__)]
    known = [part for part in shlex.split(word) if part.startswith(("--session-dir=", "--node-id="))]
    return _AGENT + subprocess.list2cmdline([*script, *known])


@contextlib.contextmanager
def _parameters(**wanted: Any) -> Iterator[None]:
    from ray._private import parameter

    whole = parameter.RayParams
    vars(parameter)["RayParams"] = functools.partial(whole, **wanted)
    try:
        yield
    finally:
        vars(parameter)["RayParams"] = whole


@contextlib.contextmanager
def patience(limit_s: float = PATIENCE_S) -> Iterator[None]:
    """Waits `limit_s` for the node to come up; Ray itself gives up after 30 s, which a busy machine may need."""
    from ray._private import services

    once: Any = services.get_node

    def patiently(*args: Any) -> Any:
        deadline = time.monotonic() + limit_s
        while True:
            try:
                return once(*args)
            except RuntimeError:  # it is not there yet
                if time.monotonic() > deadline:
                    raise
            time.sleep(_ASK_EVERY_S)

    vars(services)["get_node"] = patiently
    try:
        yield
    finally:
        vars(services)["get_node"] = once
