"""Adapter: Ray takes part in a batch ingestion. Tasks read the source's files, actors work the events through.

The rows come to stand in the same order as in one process, wherever they were read, and the actors are streams like any
other: the same kernel, the same bits. The home's folder must be the same for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import ray

from ...runtime import ray_cluster
from ...runtime.bundle import local_modules
from ...runtime.errors import EaglerayError
from ...runtime.ray_tasks import clear, travelling
from ...runtime.settings import Settings
from ..definitions.feature_set import FeatureSet
from ..events.arrow_staging import Staging
from ..streams.stream import Stream
from .backfill import Ingestion, stage

RUNS_A_PART = 1_000_000
LEASE_S = 5.0


class Runs(Protocol):
    """What runs a worker."""

    def run(self, feature_set: FeatureSet, *, lease_s: float) -> AbstractContextManager[Stream]: ...


class Streaming(Protocol):
    """A store, as far as a worker needs it; it travels by its settings."""

    @property
    def streams(self) -> Runs: ...


class Worker:
    """One process that shares the set's partitions with the others until it is told to stop."""

    def __init__(self, store: Streaming, packed: bytes) -> None:
        self._ends = ExitStack()
        feature_set: FeatureSet = ray.cloudpickle.loads(packed)
        self._ends.enter_context(store.streams.run(feature_set, lease_s=LEASE_S))

    def begun(self) -> None:
        """Answers once it works."""

    def stop(self) -> None:
        """Saves what it has done."""
        self._ends.close()


class RayCrew:
    """Tasks and actors of one ingestion, on the Ray of the settings."""

    def __init__(self, store: Streaming, feature_set: FeatureSet, settings: Settings, *, partitions: int) -> None:
        ray_cluster.connect(settings)
        self._store, self._feature_set, self._partitions = store, feature_set, partitions
        self._packed = packed_set(feature_set)

    def stage(self, job: Ingestion, staging: Staging) -> list[int]:
        """Reads every part of the source in a task of its own."""
        bare: Any = replace(job, source=replace(job.source, parts=()), feature_set=None)  # type: ignore[arg-type]
        read: Any = ray.remote(_read)
        refs = [
            read.remote(self._packed, replace(bare, source=part), str(staging.folder), self._partitions, place)
            for place, part in enumerate(job.source.parts)
        ]
        try:
            found: list[list[int]] = ray.get(refs)
        except ray.exceptions.RayTaskError as error:
            for ref in refs:
                ray.cancel(ref)
            if isinstance(error.cause, EaglerayError):
                raise error.cause from None
            raise
        return [run for runs in found for run in runs]

    @contextmanager
    def working(self) -> Iterator[None]:
        """Actors work through what the log has for the length of the block, one a core, no more than partitions."""
        cluster: Any = ray
        cores = int(cluster.cluster_resources().get("CPU", 1))
        actor: Any = ray.remote(Worker)
        asked = {"num_cpus": 1, "max_restarts": -1}
        workers = [
            actor.options(**asked).remote(self._store, self._packed) for _ in range(min(cores, self._partitions))
        ]
        begun: Any = {worker.begun.remote(): worker for worker in workers}
        try:
            yield
            # On a busy cluster some never came to begin; whoever waited for them would wait for ever.
            here, _ = ray.wait(list(begun), num_returns=len(begun), timeout=0)
            with suppress(ray.exceptions.RayError):  # what one that died had not saved, the next worker finds
                ray.get([begun[ref].stop.remote() for ref in here])
        finally:
            for worker in workers:
                ray.kill(worker)


def packed_set(feature_set: FeatureSet) -> bytes:
    """A set with its user's code, for a process that may not have the file."""
    feature_set.content_hash()  # so that it travels along: without the source it would come out otherwise
    pickler: Any = ray.cloudpickle
    given: Any = feature_set
    try:
        with travelling(local_modules(given)):
            packed: bytes = pickler.dumps(feature_set)
    except TypeError as error:
        raise clear(error, feature_set.name) from None
    return packed


def _read(packed: bytes, job: Ingestion, folder: str, partitions: int, place: int) -> list[int]:
    job = replace(job, feature_set=ray.cloudpickle.loads(packed))
    staging = Staging(Path(folder), partitions=partitions)
    return stage(job, job.source, staging, partitions=partitions, first=place * RUNS_A_PART)
