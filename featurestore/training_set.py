"""Training sets: labels joined with what each feature was at their moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..runtime.errors import InputError, did_you_mean
from .as_of import History, Spine, history, latest_rows, windowed_values
from .columns import series
from .feature_vector import FeatureVector
from .offline import OFFSET, OfflineStore
from .pins import Cut
from .schema import conform, polars_type
from .wanted import Wanted

if TYPE_CHECKING:
    import pandas
    import pyarrow


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The labels, every row and in their order, with the vector's features beside them.

    `pins` names each feature set version and the version of its offline table that was read.
    """

    frame: pl.DataFrame
    feature_names: tuple[str, ...]
    pins: dict[str, int]

    def to_polars(self) -> pl.DataFrame:
        """As a Polars frame."""
        return self.frame

    def to_pandas(self) -> pandas.DataFrame:
        """As a pandas frame."""
        return self.frame.to_pandas()

    def to_arrow(self) -> pyarrow.Table:
        """As an Arrow table."""
        return self.frame.to_arrow()

    def to_numpy(self) -> NDArray[np.float64]:
        """The features alone, rows x `feature_names`, null as NaN."""
        columns = [pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in self.feature_names]
        return self.frame.select(columns).to_numpy()


def build(
    vector: FeatureVector,
    labels: pl.DataFrame,
    *,
    wanted: Sequence[Wanted],
    offline: OfflineStore,
    cuts: Mapping[str, Cut] | None = None,
) -> TrainingSet:
    """Joins by the labels' event time: an event counts if it is strictly earlier. No label row is lost.

    `cuts` says, by feature set version, how much of each table counts; all that is there now without them.
    """
    cuts = cuts or {item.applied.label: Cut.now(item.applied, offline) for item in wanted}
    spine_frame = _spine(vector, labels, wanted)
    assert vector.event_time is not None
    q_us = spine_frame[vector.event_time].dt.epoch("us").to_numpy()
    columns: dict[str, pl.Series] = {}
    for item in wanted:
        columns |= _set_columns(item, spine_frame, q_us, partial(offline.read, upto=cuts[item.applied.label].offsets))
    request = spine_frame.select(*vector.request, vector.event_time)
    ordered = [columns[ref.column].alias(ref.column) for item in wanted for ref in item.refs]
    completed = vector.completed(request.with_columns(ordered))
    names = (*vector.request, *(made.name for made in ordered), *vector.on_demand_columns)
    pins = {item.applied.label: cuts[item.applied.label].version for item in wanted}
    frame = labels.with_columns(completed.select(names).get_columns())
    return TrainingSet(frame, names, pins)


def _spine(vector: FeatureVector, labels: pl.DataFrame, wanted: Sequence[Wanted]) -> pl.DataFrame:
    if vector.event_time is None:
        raise InputError(f"{vector.name}: name the labels' time column, FeatureVector(..., event_time='ts')")
    schema: dict[str, str] = {vector.event_time: "timestamp", **vector.request}
    for item in wanted:
        schema |= {entity.name: entity.dtype for entity in item.applied.entities}
    if vector.label is not None and vector.label not in labels.columns:
        raise InputError(f"{vector.name}: no label column {vector.label!r}{did_you_mean(vector.label, labels.columns)}")
    spine = conform(labels, schema, owner=f"{vector.name} labels")
    if spine[vector.event_time].null_count():
        raise InputError(f"{vector.name} labels: {vector.event_time!r} is null in some rows; a label needs its moment")
    return spine


def _set_columns(
    item: Wanted, spine_frame: pl.DataFrame, q_us: NDArray[np.int64], read: Callable[..., pl.DataFrame]
) -> dict[str, pl.Series]:
    applied, layout = item.applied, item.applied.layout
    entities = [entity.name for entity in applied.entities]
    names = {ref.feature: ref.column for ref in item.refs}
    windowed = [feature for feature in layout.windowed if feature.name in names]
    plain = [(name, dtype) for name, dtype in layout.plain if name in names]
    used = dict.fromkeys([f.column for f in windowed if f.column in applied.columns] + [name for name, _ in plain])
    # Windows alone need no event older than the earliest window; a latest value may be of any age.
    reach_us = (
        None
        if plain and applied.ttl_us is None
        else max([f.window.length_us + f.window.granularity_us for f in windowed] + [applied.ttl_us or 0])
    )
    oldest = None if reach_us is None or not len(q_us) else (applied.timestamp, int(q_us.min()) - reach_us)
    events = read(applied.full_name, list(dict.fromkeys([*entities, applied.timestamp, *used, OFFSET])), from_us=oldest)
    past, codes = _coded(events, spine_frame, entities, applied.timestamp, applied.columns)
    spine = Spine(codes, q_us)
    made: dict[str, pl.Series] = {}
    for name, values in windowed_values(past, spine, windowed).items():
        made[names[name]] = series(values, item.applied.feature_types[name])
    if plain:
        rows = latest_rows(past, spine, applied.ttl_us)
        index = pl.Series(np.where(rows < 0, 0, rows)).set(pl.Series(rows < 0), None)
        for name, _ in plain:
            made[names[name]] = (
                past.frame[name].gather(index) if past.frame.height else _nulls(len(rows), past.frame[name])
            )
    return made


def _coded(
    events: pl.DataFrame, spine: pl.DataFrame, entities: list[str], timestamp: str, types: dict[str, str]
) -> tuple[History, NDArray[np.int64]]:
    """Events as a history, and the labels' codes in it (-1: an entity without events)."""
    events = events.cast({name: polars_type(types[name]) for name in events.columns if name in types})
    keys = events.select(entities).unique(maintain_order=True).with_row_index("_code")
    codes = events.select(entities).join(keys, on=entities, how="left", maintain_order="left")["_code"]
    asked = spine.select(entities).join(keys, on=entities, how="left", maintain_order="left")["_code"]
    past = history(
        codes.cast(pl.Int64).to_numpy(),
        events[timestamp].dt.epoch("us").to_numpy(),
        events[OFFSET].cast(pl.Int64).to_numpy(),
        events,
    )
    return past, asked.cast(pl.Int64).fill_null(-1).to_numpy()


def _nulls(count: int, like: pl.Series) -> pl.Series:
    return pl.Series([None] * count, dtype=like.dtype)
