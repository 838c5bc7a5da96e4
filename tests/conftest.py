"""Fixtures shared by all tests: one Ray for the whole session, a home folder a test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagleray.runtime.settings import Settings


@pytest.fixture(autouse=True, scope="session")
def _heeded_interrupts() -> None:
    """A shell that starts the tests in its background has Ctrl-C ignored, for us and our children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the user's home and servers, nor what another test left in the environment."""
    for name in (
        "EAGLERAY_REDIS_URL",
        "EAGLERAY_OFFLINE_URI",
        "EAGLERAY_CATALOG_URL",
        "MLFLOW_TRACKING_URI",
        "RAY_ADDRESS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EAGLERAY_HOME", str(tmp_path / "eagleray-home"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home of the test's own, with no server running in it."""
    return Settings(home=tmp_path / "home")


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings whose Ray is up: started once, shared by every test that asks, stopped at the end."""
    from eagleray.runtime import ray_cluster as cluster

    settings = Settings(home=tmp_path_factory.mktemp("ray-home"))
    cluster.connect(settings, num_cpus=4)
    yield settings
    cluster.stop()


@pytest.fixture(scope="session")
def serving(ray_cluster: Settings) -> Settings:
    """Settings of a cluster on which Serve listens."""
    from eagleray.runtime import ray_serve

    assert ray_serve.start().startswith("http://127.0.0.1:")
    return ray_cluster
