"""Labels joined with what each feature was at their moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, get_args

import polars as pl

from ...runtime.errors import InputError, did_you_mean
from ..definitions.feature_vector import FeatureVector
from ..definitions.schema import conform
from ..definitions.wanted import Wanted
from .offline import APPLIED, OfflineStore
from .pins import Cut
from .set_join import Bound, Questions, set_columns
from .training_set import Local, TrainingSet

AsOf = Literal["event", "knowledge"]


def build(
    vector: FeatureVector,
    labels: pl.DataFrame,
    *,
    wanted: Sequence[Wanted],
    offline: OfflineStore,
    cuts: Mapping[str, Cut] | None = None,
    as_of: AsOf = "event",
) -> TrainingSet:
    """Joins by the labels' event time: an event counts if it is strictly earlier. No label row is lost.

    As of "knowledge" an event counts if it was applied earlier: what serving would have answered at that moment. (An
    event that a worker had online but not yet in the table when it died bears the moment of its recovery.)
    `cuts` says, by feature set version, how much of each table counts; all that is there now without them.
    """
    check_as_of(as_of)
    cuts = cuts or {item.applied.label: Cut.now(item.applied, offline) for item in wanted}
    spine = spine_of(vector, labels, wanted)
    columns: dict[str, pl.Series] = {}
    for item in wanted:
        asked = questions(spine, str(vector.event_time), as_of)
        columns |= set_columns(item, asked, partial(offline.read, upto=cuts[item.applied.label].offsets))
    names, frame = assembled(vector, labels, spine=spine, columns=columns, wanted=wanted)
    pins = {label: cut.version for label, cut in cuts.items()}
    return TrainingSet(Local(frame), names, pins, vector.label_column, vector.name, vector.label_after)


def check_as_of(as_of: str) -> None:
    """Raises `InputError` for a clock that there is not."""
    if as_of not in get_args(AsOf):
        raise InputError(f"as_of={as_of!r}{did_you_mean(as_of, get_args(AsOf))}")


def questions(spine: pl.DataFrame, event_time: str, as_of: AsOf) -> Questions:
    """What the labels ask of a feature set."""
    q_us = spine[event_time].dt.epoch("us").to_numpy()
    return Questions(spine, q_us, Bound(APPLIED, q_us) if as_of == "knowledge" else None)


def assembled(
    vector: FeatureVector,
    labels: pl.DataFrame,
    *,
    spine: pl.DataFrame,
    columns: Mapping[str, pl.Series],
    wanted: Sequence[Wanted],
) -> tuple[tuple[str, ...], pl.DataFrame]:
    """The features' names, and the labels with the request's, the sets' and the on-demand features beside them."""
    request = spine.select(*vector.request, str(vector.event_time))
    ordered = [columns[ref.column].alias(ref.column) for item in wanted if not item.ahead for ref in item.refs]
    completed = vector.completed(request.with_columns(ordered))
    names = feature_names(vector, wanted)
    label = [columns[ref.column].alias(ref.column) for item in wanted if item.ahead for ref in item.refs]
    return names, labels.with_columns(completed.select(names).get_columns() + label)


def feature_names(vector: FeatureVector, wanted: Sequence[Wanted]) -> tuple[str, ...]:
    """The columns that are features, in order."""
    read = (ref.column for item in wanted if not item.ahead for ref in item.refs)
    return (*vector.request, *read, *vector.on_demand_columns)


def spine_of(vector: FeatureVector, labels: pl.DataFrame, wanted: Sequence[Wanted]) -> pl.DataFrame:
    """The labels' keys, moments and request columns, typed; raises `InputError` for what a join cannot do without."""
    if vector.event_time is None:
        raise InputError(f"{vector.name}: name the labels' time column, FeatureVector(..., event_time='ts')")
    schema: dict[str, str] = {vector.event_time: "timestamp", **vector.request}
    for item in wanted:
        schema |= {entity.name: entity.dtype for entity in item.applied.entities}
    if vector.label_ref is not None and vector.label_column in labels.columns:
        raise InputError(
            f"{vector.name}: the label {vector.label!r} is read from its set, and a column {vector.label_column!r} "
            "stands beside the keys: rename or drop it"
        )
    if vector.label is not None and vector.label_ref is None and vector.label not in labels.columns:
        raise InputError(f"{vector.name}: no label column {vector.label!r}{did_you_mean(vector.label, labels.columns)}")
    spine = conform(labels, schema, owner=f"{vector.name} labels")
    if spine[vector.event_time].null_count():
        raise InputError(f"{vector.name} labels: {vector.event_time!r} is null in some rows; a label needs its moment")
    return spine
