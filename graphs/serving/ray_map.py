"""Adapter: a graph over a Ray Dataset; each worker makes the flow once and answers batch after batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import ray
import ray.data

from ...featurestore.sources.ray_dataset import Dataset
from ...runtime import ray_cluster
from ...runtime.errors import InputError
from ...runtime.ray_tasks import clear, travelling
from ...runtime.settings import Settings
from ..flows.compile import compiled, modules
from ..flows.step import Step, walk
from ..flows.table_flow import Errors, TableFlow
from .map_options import MapOptions

_SMALL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Work:
    """A graph as workers make it."""

    name: str
    steps: tuple[Step, ...]
    rescue: Callable[..., Any] | None
    settings: Settings


class Worker:
    """One worker: its models, readers and connections last as long as it does."""

    def __init__(self, packed: bytes | list[Any], errors: Errors) -> None:
        data: bytes = packed if isinstance(packed, bytes) else ray.get(packed[0])
        work: Work = ray.cloudpickle.loads(data)
        made = compiled(work.name, work.steps, rescue=work.rescue, settings=work.settings)
        self._flow = TableFlow(made, errors=errors)

    def __call__(self, table: pa.Table) -> pa.Table:
        found = pl.from_arrow(table)
        assert isinstance(found, pl.DataFrame)
        return self._flow.run(found).to_arrow()


def over_dataset(work: Work, dataset: object, options: MapOptions) -> Dataset:
    """The dataset of answers, computed when it is read."""
    ray_cluster.connect(work.settings)
    given = ray.data.read_parquet(str(dataset)) if isinstance(dataset, str | Path) else dataset
    if not isinstance(given, Dataset):
        raise InputError(f"{work.name}: cannot map {type(dataset).__name__}; give a ray.data.Dataset")
    steps = walk(work.steps)
    pickler: Any = ray.cloudpickle
    try:
        with travelling(modules(work.steps, work.rescue)):
            packed = pickler.dumps(work)
    except TypeError as error:
        raise clear(error, work.name) from None
    # A large one once into the object store: a model may weigh more than a task should.
    given_to: Any = packed if len(packed) < _SMALL_BYTES else [ray.put(packed)]
    most = options.workers or _room()
    pool = ray.data.ActorPoolStrategy(min_size=options.workers or 1, max_size=most)
    return given.map_batches(
        Worker,
        batch_size=options.batch_rows,
        batch_format="pyarrow",
        compute=pool,
        fn_constructor_args=(given_to, options.errors),
        num_cpus=max(1.0, sum(step.resources.cpus for step in steps)),
        num_gpus=sum(step.resources.gpu for step in steps) or None,
    )


def _room() -> int:
    """A CPU is left for those that read."""
    resources: Any = ray.cluster_resources  # it has no types
    return max(1, int(resources().get("CPU", 1)) - 1)
