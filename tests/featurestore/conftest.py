"""Servers and stores for the contract suites: the wheel's Valkey always, Debian's Redis where it is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eagleray.runtime import redis_client, valkey_server
from eagleray.runtime.settings import Settings

from . import cluster


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a home whose embedded server is up; shared, so tests use names of their own."""
    settings = Settings(home=tmp_path_factory.mktemp("valkey-home"))
    redis_client.connect(settings).close()
    yield settings
    assert valkey_server.release(settings.home), "the embedded server outlived its users"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory, ends_with_us: Callable[[int], None]) -> Iterator[Settings]:
    """Settings that name a Redis server of the session's own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]
    home: Path = tmp_path_factory.mktemp("redis")
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, text=True) as server:
        ends_with_us(server.pid)
        assert server.stdout is not None
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        yield Settings(home=home, redis_url=f"redis://127.0.0.1:{port}/0")
        server.terminate()
        server.stdout.read()


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory: pytest.TempPathFactory, ends_with_us: Callable[[int], None]) -> Iterator[Settings]:
    """Settings that name a node of a cluster of three."""
    home = tmp_path_factory.mktemp("cluster")
    with cluster.running(home, ends_with_us) as ports:
        yield Settings(home=home, redis_url=f"redis://127.0.0.1:{ports[0]}")


@pytest.fixture(params=["valkey", "redis_server"])
def server(request: pytest.FixtureRequest) -> Settings:
    """Each server in turn."""
    settings: Settings = request.getfixturevalue(request.param)
    return settings
