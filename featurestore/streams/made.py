"""Batches of the log made into events as the offline table holds them: typed, transformed, the unfit put aside."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ...runtime.errors import InputError
from ..definitions.catalog import AppliedSet
from ..definitions.feature_set import FeatureSet
from ..definitions.schema import conform, empty, polars_type
from ..events.log import Batch, DeadLetter, Mark
from ..events.quarantine import sifted
from ..offline.erasure import NOTHING_ERASED, Erased
from ..offline.offline import APPLIED, OFFSET, PARTITION
from .ingest import transformed


@dataclass(frozen=True, slots=True)
class Made:
    """Events in the order of their partitions, the last offset of each partition, and letters about the others."""

    frame: pl.DataFrame
    ends: Mapping[int, int]
    letters: tuple[DeadLetter, ...] = ()
    marks: Mapping[int, tuple[Mark, ...]] = field(default_factory=dict)  # by partition


def made_of(
    feature_set: FeatureSet, applied: AppliedSet, batches: Sequence[Batch], erased: Erased = NOTHING_ERASED
) -> Made:
    """All batches through the transform at once; whatever they hold, they count as dealt with."""
    wanted = empty(feature_set.input_schema)
    fitting, letters = [], list[DeadLetter]()
    ends: dict[int, int] = {}
    for batch in batches:
        ends[batch.partition] = max(batch.last, ends.get(batch.partition, -1))
        if batch.frame.schema == wanted.schema:
            fitting.append(batch)
            continue
        try:
            fitting.append(
                Batch(batch.partition, batch.first, conform(batch.frame, feature_set.input_schema, owner="log"))
            )
        except InputError as error:
            letters += _letters(
                batch.frame, [(place, str(error)) for place in range(batch.frame.height)], _places([batch])
            )
    given = pl.concat([batch.frame for batch in fitting]) if fitting else wanted
    partitions, offsets = _places(fitting)
    kept = erased.kept(given, feature_set.entities, feature_set.timestamp)
    if kept is not None:
        given, partitions, offsets = given.filter(kept), partitions[kept], offsets[kept]

    def make(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series, tuple[DeadLetter, ...]]:
        whole, good, about = transformed(feature_set, frame)
        columns = (pl.col(name).cast(polars_type(dtype)) for name, dtype in applied.columns.items())
        return whole.select(*columns), good, about

    through = sifted(given, make)
    letters += _letters(given, through.refused, (partitions, offsets))
    now = pl.lit(time.time_ns() // 1000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    frame = (through.made if through.made.width else empty(applied.columns)).with_columns(
        pl.Series(PARTITION, partitions[through.positions]),
        pl.Series(OFFSET, offsets[through.positions]),
        now.alias(APPLIED),
    )
    marks = {at: tuple(b.mark for b in batches if b.partition == at and b.mark is not None) for at in ends}
    return Made(frame, ends, tuple(sorted(letters, key=lambda letter: letter.place or (0, 0))), marks)


def _places(batches: Sequence[Batch]) -> tuple[np.ndarray, np.ndarray]:
    if not batches:
        return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    heights = [batch.frame.height for batch in batches]
    partitions = np.repeat(np.array([batch.partition for batch in batches], dtype=np.int32), heights)
    return partitions, np.concatenate([np.arange(batch.first, batch.last + 1, dtype=np.int64) for batch in batches])


def _letters(
    frame: pl.DataFrame, refused: Sequence[tuple[int, str]], places: tuple[np.ndarray, np.ndarray]
) -> list[DeadLetter]:
    """Letters about rows by their positions, as they were before the transform, so that they can be given again."""
    if not refused:
        return []
    partitions, offsets = places
    lines = frame[[place for place, _ in refused]].write_ndjson().splitlines()
    return [
        DeadLetter(reason, line, (int(partitions[place]), int(offsets[place])))
        for (place, reason), line in zip(refused, lines, strict=True)
    ]
