"""Adapter: the profiler of an endpoint as a named, detached Ray actor.

It outlives the replicas that feed it and the program that deployed it; Ray restarts it when it dies, and it
finds its profiles and decisions on disk.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import ray
import ray.exceptions

from ...featurestore.quality.profile import Floats
from ...featurestore.quality.reference import make_reference
from ...runtime import ray_cluster
from ...runtime.errors import EaglerayError, ServerUnavailable
from ...runtime.settings import Settings
from .profiler import Comparison, Profiler, ProfilerState, Question
from .quality import Labelled
from .tap import TapBatch

# Batches under way at once: more, and the tap's own bound (and its count of what is dropped) takes over.
MAX_IN_FLIGHT = 8
ANSWER_TIMEOUT_S = 60.0
RETRY_S = 0.1


class Watched(Protocol):
    """Which endpoint is profiled, where that is kept, and how long a profile's window is; a `TapSpec` tells."""

    @property
    def endpoint(self) -> str: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def folder(self) -> Path: ...

    @property
    def window_us(self) -> int: ...


def actor_name(endpoint: str) -> str:
    """The name under which the actor is found, in `ray_cluster.NAMESPACE`."""
    return f"profiler:{endpoint}"


class RayProfiler:
    """A `ProfilerPort` whose profiler runs in an actor; starts the actor if there is none.

    Raises `ServerUnavailable` when the actor cannot be reached.
    """

    __slots__ = ("_actor", "_in_flight", "_spec")

    def __init__(self, spec: Watched) -> None:
        self._spec = spec
        self._actor = _find_or_start(spec)
        self._in_flight: deque[Any] = deque()

    def receive(self, batch: TapBatch) -> None:
        """Sends a batch; waits only when many are under way. Failures of earlier batches are raised here."""
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            _answer(self._in_flight.popleft(), self._spec.endpoint)
        self._in_flight.append(self._actor.receive.remote(batch))

    def label(self, ids: Sequence[str], labels: Sequence[float]) -> None:
        """Notes the labels of decisions, which may still be on their way."""
        self._ask("label", list(ids), list(labels))

    def compare(self, reference: bytes, question: Question) -> Comparison:
        """The traffic of that time against a reference (`Reference.to_bytes`, or a profile's)."""
        found: Comparison = self._ask("compare", reference, question)
        return found

    def labelled(self, since_us: int | None = None, until_us: int | None = None) -> Labelled:
        """The decisions of that time whose label is known."""
        found: Labelled = self._ask("labelled", since_us, until_us)
        return found

    def decisions(self, ids: Sequence[str]) -> pl.DataFrame:
        """Decisions by id: request_id, ts_us, score, `feature.<name>` columns and label."""
        found: pl.DataFrame = self._ask("decisions", list(ids))
        return found

    def profiles(self, since_us: int, until_us: int) -> list[bytes]:
        """The profiles of the windows that overlap that time, oldest first."""
        found: list[bytes] = self._ask("profiles", since_us, until_us)
        return found

    def state(self) -> ProfilerState:
        """How the profiler is doing; writes what is unsaved first."""
        found: ProfilerState = self._ask("state")
        return found

    def stop(self) -> None:
        """Writes what is unsaved and ends the actor; its files stay."""
        self._ask("save")
        ray.kill(self._actor)
        # Ray ends it a moment later; who asks for the endpoint's profiler next must not get the dying one.
        with contextlib.suppress(ServerUnavailable):
            while True:
                _answer(self._actor.save.remote(), self._spec.endpoint)

    def _ask(self, method: str, *arguments: object) -> Any:
        # Asking twice changes nothing, so a restart in between goes unseen; a batch is never sent twice.
        until_s = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            try:
                return _answer(getattr(self._actor, method).remote(*arguments), self._spec.endpoint)
            except _Restarting:
                if time.monotonic() >= until_s:
                    raise
                time.sleep(RETRY_S)


class _Restarting(ServerUnavailable):
    """The actor has died and Ray is starting it again."""


def reference_apart(columns: dict[str, Floats], settings: Settings) -> bytes:
    """The reference of float64 columns in the order of time, made in a worker of Ray's."""
    ray_cluster.connect(settings)
    content: bytes = _answer(ray.remote(_reference).options(num_cpus=0).remote(columns), "the reference")
    return content


def _reference(columns: dict[str, Floats]) -> bytes:
    return make_reference(columns).to_bytes()


def _find_or_start(spec: Watched) -> Any:
    ray_cluster.connect(spec.settings)
    # No CPU of its own: it must find room on a machine that its endpoint fills.
    actor = ray.remote(Profiler).options(
        name=actor_name(spec.endpoint),
        namespace=ray_cluster.NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        max_restarts=-1,
        num_cpus=0,
    )
    return actor.remote(spec.folder, window_us=spec.window_us)


def _answer(reference: Any, who: str) -> Any:
    try:
        return ray.get(reference, timeout=ANSWER_TIMEOUT_S)
    except ray.exceptions.RayTaskError as error:
        # Our own errors reach the caller as themselves, without Ray's frames.
        if isinstance(error.cause, EaglerayError):
            raise error.cause from None
        raise
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError) as error:
        kind = _Restarting if isinstance(error, ray.exceptions.ActorUnavailableError) else ServerUnavailable
        raise kind(
            f"the profiler of {who} does not answer ({type(error).__name__}): check that Ray is up, then ask again"
        ) from None
