"""Adapter: jobs of a Ray cluster that outlive who submitted them."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.job_submission import JobSubmissionClient

from . import lasting, ray_cluster, ray_kv
from .bundle import local_modules
from .call_options import CallOptions
from .errors import InputError, NotFoundError, ServerUnavailable
from .packed_job import PackedJob
from .ray_tasks import clear, travelling
from .settings import Settings

_CALL = "call.pickle"
_OWN = "eagleray"
_AGENT_S = 60.0
_MOST_RESULT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What the cluster tells of a job; `status` is PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""

    id: str
    function: str
    status: str
    message: str
    started_ms: int
    ended_ms: int


class RayJobs:
    """The jobs of the cluster that the settings name; raises `ServerUnavailable` where none outlives this process."""

    def __init__(self, settings: Settings) -> None:
        check_outlives(settings, "job")
        ray_cluster.connect(settings)
        logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.ERROR)
        self._local = settings.ray_address is None
        found = lasting.find(settings.home) if self._local else None
        address = found.dashboard_url if found else settings.ray_address
        try:
            self._client = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ServerUnavailable(
                f"the cluster's job server does not answer ({reason}): it is in Ray's dashboard"
            ) from None

    def submit(self, module: str, call: tuple[Callable[..., Any], Any, Any], options: CallOptions) -> str:
        """Starts `python -m module` with the pickled call and gives the job's id.

        Raises `InputError` for what cannot travel.
        """
        return self.start(pack(module, call, options))

    def start(self, job: PackedJob, *, job_id: str | None = None, notes: Mapping[str, str] | None = None) -> str:
        """Starts a packed call and gives the job's id. With an id of the caller's, no other job may ever have it:
        where one has, nothing is started. `notes` are for the job itself (`own_notes`).
        """
        python = shlex.quote(sys.executable) if self._local else "python"
        needs = {f"entrypoint_{name}": amount for name, amount in job.needs.items()}
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, _CALL).write_bytes(job.packed)
            return self._started(
                entrypoint=f"{python} -m {job.module}",
                submission_id=job_id,
                runtime_env={"working_dir": folder},
                metadata={_OWN: job.name, **(notes or {})},
                entrypoint_resources=dict(job.custom) or None,
                **needs,
            )

    def _started(self, **job: Any) -> str:
        """Asks again while the node that is to run it still starts: its agent comes up last."""
        deadline = time.monotonic() + _AGENT_S
        while True:
            try:
                job_id: str = self._client.submit_job(**job)
            except RuntimeError as error:
                if job["submission_id"] and "already exists" in str(error):
                    return str(job["submission_id"])
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
                    raise ServerUnavailable(
                        f"the cluster did not take the job ({reason}): see Ray's dashboard"
                    ) from None
                time.sleep(0.5)
            else:
                return job_id

    def info(self, job_id: str) -> JobInfo:
        """Raises `NotFoundError` for a job nobody submitted."""
        try:
            return _info(job_id, self._client.get_job_info(job_id))
        except RuntimeError as error:
            if "does not exist" not in str(error):
                reason = (str(error).strip().splitlines() or ["no reason given"])[0]
                raise ServerUnavailable(f"the cluster's job server fails ({reason}): see Ray's dashboard") from None
            raise NotFoundError(f"no job {job_id!r}: `eagleray jobs list` names them") from None

    def logs(self, job_id: str) -> str:
        """What it has printed so far."""
        self.info(job_id)
        try:
            text: str = self._client.get_job_logs(job_id)
        except RuntimeError:  # it has not begun
            return ""
        return text

    def stop(self, job_id: str) -> None:
        """Ends it; no error where it has ended."""
        self.info(job_id)
        self._client.stop_job(job_id)

    def all(self) -> list[JobInfo]:
        """Those that a function's `submit` started, newest first."""
        found = [
            _info(one.submission_id, one)
            for one in self._client.list_jobs()
            if one.submission_id and _OWN in (one.metadata or {})
        ]
        return sorted(found, key=lambda job: job.started_ms, reverse=True)

    def result(self, job_id: str) -> Any:
        """What the job's call returned or raised, as `keep_result` stored it; None where it did not get there."""
        packed = ray_kv.get(_key(job_id))
        return None if packed is None else ray.cloudpickle.loads(packed)


def pack(module: str, call: tuple[Callable[..., Any], Any, Any], options: CallOptions) -> PackedJob:
    """A call as bytes, to be started at any time; raises `InputError` for what cannot travel."""
    fn, args, kwargs = call
    pickler: Any = ray.cloudpickle
    try:
        with travelling(local_modules(getattr(fn, "callable", fn))):
            packed = pickler.dumps((fn, args, kwargs))
    except TypeError as error:
        raise clear(error, options.name) from None
    asked: dict[str, Any] = options.resources.ray_options()
    needs: dict[str, float] = {name: asked[name] for name in ("num_cpus", "num_gpus", "memory") if name in asked}
    return PackedJob(options.name, module, packed, needs, asked.get("resources") or {})


def check_outlives(settings: Settings, what: str) -> None:
    """Raises `ServerUnavailable` where the settings name no Ray that goes on when this process has ended."""
    if not lasting.is_there(settings):
        raise ServerUnavailable(f"a {what} outlives this process, so it needs a Ray that does: {lasting.CURE}")
    if settings.ray_address is None and ray_cluster.is_local():
        raise ServerUnavailable("this process has started a Ray of its own: submit before that, or start it anew")


def own_notes() -> dict[str, str]:
    """Inside a job: the notes it was started with."""
    return dict(_own_metadata())


def read_call() -> tuple[Callable[..., Any], Any, Any]:
    """Inside a job: the call it was started for."""
    call: tuple[Callable[..., Any], Any, Any] = ray.cloudpickle.loads(Path(_CALL).read_bytes())
    return call


def keep_result(outcome: Any, name: str) -> None:
    """Inside a job: leaves what its call returned or raised for who asks; it lives as long as the cluster."""
    pickler: Any = ray.cloudpickle
    packed = pickler.dumps(outcome)
    if len(packed) > _MOST_RESULT_BYTES:
        raise InputError(
            f"{name} returned {len(packed) >> 20} MiB: write it to a file or a table, and return where it is"
        )
    ray_kv.put(_key(own_id()), packed)


def own_id() -> str:
    """Inside a job: its id."""
    return _own_metadata()["job_submission_id"]


def _own_metadata() -> dict[str, str]:
    found: dict[str, str] = json.loads(os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"])["metadata"]
    return found


def _key(job_id: str) -> str:
    return f"job:{job_id}:result"


def _info(job_id: str, found: Any) -> JobInfo:
    return JobInfo(
        job_id, (found.metadata or {}).get(_OWN, ""), str(getattr(found.status, "value", found.status)),
        found.message or "", found.start_time or 0, found.end_time or 0,
    )  # fmt: skip
