"""What happens to rows before they count: types, keys, rules, the clock, and the partition they belong to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from ...runtime.errors import InputError
from ..definitions.feature_set import FeatureSet
from ..definitions.schema import conform
from ..events.log import DeadLetter
from ..events.placing import BUCKETS, home_of, places
from ..sources.sources import Rows


@dataclass(frozen=True, slots=True)
class Accepted:
    """Rows that may enter the log, and those put aside with the reason."""

    frame: pl.DataFrame
    letters: tuple[DeadLetter, ...]


def accept(feature_set: FeatureSet, rows: Rows, *, now_us: int) -> Accepted:
    """Typed rows with keys and a time no later than now, by the set's rules.

    Raises `InputError`, before anything is written, for a wrong type or a broken rule that says "raise".
    """
    frame = conform(rows, feature_set.input_schema, owner=feature_set.name)
    must_have = (*(entity.name for entity in feature_set.entities), feature_set.timestamp)
    checks = [(pl.col(name).is_null(), f"{name} is null", "reject") for name in must_have]
    checks += [(rule.broken(), rule.reason(), rule.on_fail) for rule in feature_set.rules]
    now = pl.lit(now_us).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    stamp = feature_set.timestamp
    late, *broken_by = frame.select(
        (pl.col(stamp) > now).any().alias("now"), *(check[0].any().alias(str(n)) for n, check in enumerate(checks))
    ).row(0)
    letters: list[DeadLetter] = []
    for (broken, reason, on_fail), found in zip(checks, broken_by, strict=True):
        if not found:  # one look at all rules: a push is small, and each look has its price
            continue
        bad = frame.filter(broken)
        if not bad.height:
            continue
        if on_fail == "raise":
            raise InputError(f"{feature_set.name}: {reason} in {bad.height} rows, first {bad.row(0, named=True)}")
        letters += buried(bad, reason)
        frame = frame.filter(~broken)
    if late:
        frame = frame.with_columns(pl.min_horizontal(pl.col(stamp), now).alias(stamp))
    return Accepted(frame, tuple(letters))


def by_partition(feature_set: FeatureSet, frame: pl.DataFrame, partitions: int) -> dict[int, pl.DataFrame]:
    """The rows of each partition, in the order they came."""
    if partitions == 1 or frame.height == 0:
        return {0: frame} if frame.height else {}
    if frame.height == 1:
        return {home_of(feature_set.entities, frame.row(0, named=True), partitions): frame}
    home = places(feature_set.entities, frame, partitions) // BUCKETS
    homes, counts = np.unique(home, return_counts=True)
    if len(homes) > 1:
        frame = frame[np.argsort(home, kind="stable")]
    ends = np.cumsum(counts).tolist()
    return {int(p): frame[end - count : end] for p, count, end in zip(homes, counts.tolist(), ends, strict=True)}


def transformed(feature_set: FeatureSet, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series, tuple[DeadLetter, ...]]:
    """The frame after the set's transform, which of its rows may be aggregated, and letters for the others.

    A sum takes finite values below 2**62 only, one of squares below 2**40: anything else would void every later sum of
    its key.
    """
    made = feature_set.transformed(frame)
    good = pl.Series(np.ones(made.height, dtype=bool))
    letters: list[DeadLetter] = []
    for column, largest in feature_set.layout.largest.items():
        beyond = np.abs(made[column].to_numpy()) >= largest  # a null is NaN there, and neither is beyond anything
        if beyond.any():
            bad = pl.Series(beyond)
            letters += buried(made.filter(bad & good), f"{column} is infinite or beyond 2**{int(math.log2(largest))}")
            good = good & ~bad
    return made, good, tuple(letters)


def buried(rows: pl.DataFrame, reason: str) -> list[DeadLetter]:
    """A letter a row."""
    return [DeadLetter(reason, line) for line in rows.write_ndjson().splitlines()]
