"""Fixtures shared by all tests: one Ray for the whole session, a home folder a test."""

from __future__ import annotations

import functools
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from eagleray.runtime.settings import Settings

# Files whose tests start a Ray, or a whole demo, in processes of their own: they mostly wait, and take longest.
OWN_PROCESSES = (
    "test_notebooks.py", "test_readme.py", "test_kill_stream.py", "test_kill_graph_stream.py", "test_ingestion.py",
)  # fmt: skip
# What a worker starts once for all that ask for it, in the order of the time that those take together.
SHARED = ("serving", "lasting_home", "ray_cluster")
# Ends the processes it was told of, by their numbers and when they began, once its standard input is closed.
ENDS = """
import contextlib, sys, psutil
for line in sys.stdin.read().splitlines():
    pid, began = line.split()
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(int(pid))
        if str(process.create_time()) == began:
            process.terminate()
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers the longest comes first; alone, all that shares a server that costs something when idle."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn(item.path))
    else:
        items.sort(key=lambda item: (need(item.path) != "lasting_home", need(item.path) != "serving"))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Serve, which takes a tenth of a core with nobody asking, ends after the last file that shares it."""
    if need(item.path) == "serving" and nextitem is not None and need(nextitem.path) != "serving":
        from eagleray.runtime import ray_cluster, ray_serve

        if ray_cluster.is_up():
            ray_serve.shutdown()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Shares the files out among the workers of `make test`: a worker's Ray takes seconds and a gigabyte, so all that
    needs Serve goes to one worker, all that needs a Ray that stays to another, all that needs Ray alone to a third,
    these first; whoever has finished takes of the others. (xdist's own groups have no effect with this pytest.)"""
    from xdist.scheduler import loadscope  # type: ignore[import-untyped]

    def part_of(nodeid: str) -> str:
        path = config.rootpath / nodeid.partition("::")[0]
        return need(path) or str(path)

    scheduler = loadscope.LoadScopeScheduling(config, log)
    scheduler._split_scope = part_of
    return scheduler


@functools.cache
def need(path: Path) -> str:
    """Which of the shared parts the tests of a file ask for; the first where they ask for several."""
    text = path.read_text(encoding="utf-8")
    asked = r'(?m)(^def \w+\([^)]*\b|usefixtures\(")%s\b'
    return next((name for name in SHARED if re.search(asked % name, text)), "")


def turn(path: Path) -> int:
    """When a file's tests shall begin."""
    if need(path):
        return SHARED.index(need(path))
    return len(SHARED) + (path.name not in OWN_PROCESSES)


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


@pytest.fixture(scope="session")
def ends_with_us() -> Iterator[Callable[[int], None]]:
    """Takes a process that is to end when this one has, however it did: xdist kills workers soon after a Ctrl-C."""
    command = [sys.executable, "-c", ENDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as guard:
        assert guard.stdin is not None

        def note(pid: int) -> None:
            assert guard.stdin is not None
            guard.stdin.write(f"{pid} {psutil.Process(pid).create_time()}\n")
            guard.stdin.flush()

        yield note
        guard.stdin.close()


@pytest.fixture(scope="session")
def _lasting_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from eagleray.runtime import lasting

    home = tmp_path_factory.mktemp("lasting") / "home"
    yield home
    lasting.stop(home)


@pytest.fixture
def lasting_home(
    _lasting_home: Path, request: pytest.FixtureRequest, ends_with_us: Callable[[int], None]
) -> Iterator[Path]:
    """A home whose Ray stays: one for all tests, started again after one that ended it, and gone after the last."""
    from eagleray.runtime import lasting

    ends_with_us(lasting.start(_lasting_home, num_cpus=2).pid)
    yield _lasting_home
    asking = [item for item in request.session.items if "lasting_home" in getattr(item, "fixturenames", ())]
    if request.node is asking[-1]:
        lasting.stop(_lasting_home)
