"""A graph over many rows at once: a frame in this process, a dataset or files on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from ...featurestore.store import FeatureStore
from ...functions.calls.frames import kind_of, reader
from ...runtime.errors import DefinitionError, InputError
from ...runtime.settings import Settings
from ..flows.compile import Compiled, compiled, resolved
from ..flows.frame_hints import FRAMES
from ..flows.step import Declared, Step
from ..flows.table_flow import TableFlow
from .map_options import MapOptions


def mapped(
    graph: Declared, dataset: Any, *, store: FeatureStore | None, settings: Settings | None, options: MapOptions
) -> Any:
    """The answers: a frame of the kind that was given, or a Ray Dataset for a dataset or a path.

    Raises `InputError` for anything else; a failing row's own error, unless it is to stand in its column.
    """
    where = settings or (store.settings if store is not None else Settings.from_env())
    steps = resolved(graph, where)
    kind = kind_of(type(dataset))
    if kind in FRAMES:
        made = compiled(graph.name, inline(steps), rescue=graph.rescue, settings=where, store=store)
        return _over_frame(made, dataset, kind, options)
    if isinstance(dataset, str | Path) or type(dataset).__module__.partition(".")[0] == "ray":
        from .ray_map import Work, over_dataset

        compiled(graph.name, inline(steps), rescue=graph.rescue, settings=where, store=store).close()
        return over_dataset(Work(graph.name, inline(steps), graph.rescue, where), dataset, options)
    raise InputError(
        f"{graph.name}: cannot map {type(dataset).__name__}; give a Ray Dataset, a Polars, pandas or Arrow frame, or a "
        "path to Parquet files"
    )


def inline(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps without queues: a batch is nobody's waiting, so what comes after them runs at once."""
    found = tuple(step for step in steps if step.kind != "queue")
    if not any(step.kind != "respond" for step in found):
        raise DefinitionError("the graph has no steps to map; add some with to()")
    return found


def _over_frame(made: Compiled, frame: Any, kind: str, options: MapOptions) -> Any:
    flow = TableFlow(made, errors=options.errors)
    try:
        given: pl.DataFrame = reader("polars.DataFrame")(frame)
        answers = pl.concat(_answered(flow, given, options.batch_rows), how="diagonal_relaxed")
    finally:
        flow.close()
    return reader(kind)(answers)


def _answered(flow: TableFlow, frame: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    if not frame.height:
        yield flow.run(frame)
    for piece in frame.iter_slices(rows):
        yield flow.run(piece)
