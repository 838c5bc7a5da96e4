"""What starting a Ray of our own needs and ray.init has no word for."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from typing import Any

PATIENCE_S = 120.0
_ASK_EVERY_S = 0.05


@contextlib.contextmanager
def own_agent_port(port: int) -> Iterator[None]:
    """Has the agent that runs jobs listen at `port`: two Rays beside each other would want the same one."""
    from ray._private import parameter

    whole = parameter.RayParams
    vars(parameter)["RayParams"] = functools.partial(whole, dashboard_agent_listen_port=port)
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
