"""What the server says of itself in the Open Inference Protocol, whoever answers for it: the proxy or a service."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any


def server_metadata() -> dict[str, Any]:
    """Name, version ("0" where the package runs without being installed) and extensions of the protocol."""
    try:
        found = version("eagleray")
    except PackageNotFoundError:
        found = "0"
    return {"name": "eagleray", "version": found, "extensions": ["binary_tensor_data"]}
