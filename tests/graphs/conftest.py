"""One Ray Serve for all graph tests."""

from __future__ import annotations

import pytest

from eagleray.runtime.settings import Settings


@pytest.fixture(scope="session")
def serving(ray_cluster: Settings) -> Settings:
    """Settings of a cluster on which Serve listens."""
    from eagleray.runtime import ray_serve

    assert ray_serve.start().startswith("http://127.0.0.1:")
    return ray_cluster
