"""This process's Ray: started on this machine on free ports, or joined where the settings say.

A local Ray listens on loopback only, asks for a token, keeps its files in a short private folder (socket
paths are limited to some 100 bytes, so not under the home) and is gone without a trace after `stop`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import haproxy_launch, lasting, ray_environment, ray_guardian, ray_join, ray_ports, ray_start
from .errors import ServerUnavailable, StorageError
from .ray_environment import LOOPBACK
from .settings import Settings

NAMESPACE = "eagleray"
_FOLDER_PREFIX = "eray-"
_REMOVALS = 20
_OBJECT_STORE_MIN_BYTES = 128 << 20
_OBJECT_STORE_MAX_BYTES = 1 << 30


@dataclass(slots=True)
class _Session:
    """What `connect` did in this process, so that `stop` undoes that and no more."""

    folder: Path | None = None
    joined: bool = False
    serve_port: int | None = None
    dashboard_url: str | None = None
    environment: tuple[str, ...] = ()
    guardian: subprocess.Popen[bytes] | None = None
    ports: ray_ports.RayPorts | None = None
    exit_hook: bool = False


# Ray itself is one per process; this is the record of it.
_session = _Session()


def connect(
    settings: Settings,
    *,
    num_cpus: int | None = None,
    serve_port: int | None = None,
    dashboard: bool = False,
) -> None:
    """Makes Ray usable in this process; a second call changes nothing.

    Joins `settings.ray_address` when it is set (raises `ServerUnavailable` within some 10 s when no Ray answers
    there), or what `eagleray up` keeps running for this home, else starts a Ray with `num_cpus` (default: the cores of
    this machine). `serve_port` is where HTTP endpoints will listen (default: a free port); `dashboard` adds web pages.
    """
    if serve_port is not None:
        _session.serve_port = serve_port
    if is_up():
        return
    os.environ.update(ray_environment.telemetry_off())
    if settings.ray_address is not None:
        ray_join.join(settings.ray_address, namespace=NAMESPACE)
        _session.joined = True
    elif (found := lasting.find(settings.home)) is not None:
        ray_environment.forget_inherited(os.environ)
        _export(found.environment)
        ray_join.join(found.address, namespace=NAMESPACE)
        _session.joined, _session.dashboard_url = True, found.dashboard_url
    else:
        _start(settings, num_cpus, dashboard)
    if not _session.exit_hook:
        # Exit handlers run last in, first out, so this one runs before Ray's own.
        atexit.register(stop)
        _session.exit_hook = True


def join_lasting(settings: Settings) -> bool:
    """As `connect`, but starts nothing: False where no Ray runs that outlives this process, and this has none yet."""
    if not is_up() and not lasting.is_there(settings):
        return False
    connect(settings)
    return True


def stop() -> None:
    """Ends what `connect` started, processes and files; a cluster that was joined stays up."""
    folder, joined = _session.folder, _session.joined
    if folder is None and not joined:
        return
    import ray

    from . import psutil_processes

    # A proxy that a worker started, or a worker that hangs, outlives Ray's own shutdown.
    processes = [found for root in _node_pids() for found in psutil_processes.tree(root)]
    _session.folder, _session.joined, _session.dashboard_url = None, False, None
    try:
        ray.shutdown()
    finally:
        if folder is not None:
            psutil_processes.end(processes, wait_s=0.2)
            _remove(folder)
            ray_guardian.dismiss(_session.guardian)
            _session.guardian = None
            if _session.ports is not None:
                _session.ports.close()
            _session.ports = None
        for name in _session.environment:
            os.environ.pop(name, None)
        _session.environment = ()


def is_up() -> bool:
    """True when this process has a Ray, whoever started it; never imports ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def is_local() -> bool:
    """True when `connect` started the Ray of this process."""
    return _session.folder is not None


def serve_port() -> int | None:
    """The port `connect` was asked to serve on; None means a free one."""
    return _session.serve_port


def dashboard_url() -> str | None:
    """Where Ray's web pages are, when `connect` was asked for them."""
    return _session.dashboard_url


def joining() -> tuple[str, dict[str, str]]:
    """What another process of this machine needs to join the Ray that `connect` started: address and environment."""
    import ray

    return str(ray.get_runtime_context().gcs_address), {name: os.environ[name] for name in _session.environment}


def token_path(settings: Settings) -> Path:
    """The file with the token that a local Ray asks for (its dashboard too)."""
    return settings.home / "ray" / "token"


def _start(settings: Settings, num_cpus: int | None, dashboard: bool) -> None:
    token = _token(token_path(settings))
    _sweep(_short_temp())
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-", dir=_short_temp()))
    _session.folder = folder
    _session.guardian = ray_guardian.start(folder)
    ports = _session.ports = ray_ports.claim()
    dashboard_port = ports.free() if dashboard else None
    try:
        ray_environment.forget_inherited(os.environ)
        _set_environment(folder, token, ports, settings.serve_host)
        import ray

        parts = ray_start.with_pages if dashboard else ray_start.without_pages
        with ray_join.quiet(), parts(ports.free), ray_start.patience():
            ray.init(
                address="local",
                num_cpus=num_cpus,
                namespace=NAMESPACE,
                object_store_memory=_object_store_bytes(),
                include_dashboard=dashboard,
                dashboard_host=LOOPBACK,
                dashboard_port=dashboard_port,
                _metrics_export_port=ports.free() if dashboard else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address=LOOPBACK,
                _temp_dir=str(folder),
            )
        ray_join.silence_raylet()
        # What runs a job asks the folder for the address; without the note it takes any Ray of this machine.
        from ray._private import utils

        utils.write_ray_address(ray.get_runtime_context().gcs_address, str(folder))
    except BaseException as error:  # also on Ctrl-C: half a Ray must not stay behind
        stop()
        if "timed out during startup" in str(error):
            raise ServerUnavailable(
                "Ray did not come up within two minutes: is this machine overloaded? Try again when it is calmer"
            ) from error
        raise
    _session.dashboard_url = f"http://{LOOPBACK}:{dashboard_port}" if dashboard_port else None


def _set_environment(folder: Path, token: Path, ports: ray_ports.RayPorts, serve_host: str) -> None:
    """Sets what Ray's processes inherit; `stop` takes it back, so that the next start can choose anew."""
    servers = (ports.free(), ports.free(), ports.free())
    wanted, haproxy = ray_environment.defaults(token), haproxy_launch.write_launcher(folder)
    wanted |= ray_environment.serve(folder, haproxy=haproxy, ports=servers, replicas_from=ports.replicas_from)
    wanted = ray_environment.missing(wanted, os.environ) | ray_environment.enforced()
    wanted["EAGLERAY_SERVE_HOST"] = serve_host  # for the launcher of the proxy
    _export(wanted)


def _export(wanted: Mapping[str, str]) -> None:
    own = tuple(name for name in wanted if name not in os.environ)
    _session.environment = (*own, ray_environment.OURS)
    os.environ.update(wanted)
    os.environ[ray_environment.OURS] = ",".join(own)
    # Ray may have been imported, and have read the environment, before us.
    from ray import _raylet
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False
    vars(_raylet)["Config"].initialize("")


def _node_pids() -> list[int]:
    """The processes Ray started for this process's own node: raylet, GCS, monitors."""
    from ray._private import worker

    node = getattr(worker, "_global_node", None)
    if node is None or _session.folder is None:
        return []
    return [int(process.pid) for _, process in node.live_processes()]


def _token(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32))
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror}): set EAGLERAY_HOME to a writable folder") from None
    return path


def _short_temp() -> str:
    """A temporary folder whose path leaves room for Ray's socket names (macOS's own is too long)."""
    return "/tmp" if os.access("/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()


def _sweep(temp: str) -> None:
    """Removes the folders of our Rays whose owner was killed."""
    for folder in Path(temp).glob(f"{_FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and folder.stat().st_uid == os.getuid() and not _runs(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Removes the folder, also while the last process writes its last line of a log."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _object_store_bytes() -> int:
    """An eighth of the memory within bounds: frames and models pass through it, data sets do not."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(_OBJECT_STORE_MIN_BYTES, min(_OBJECT_STORE_MAX_BYTES, memory // 8))
