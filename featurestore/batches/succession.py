"""One version of a feature set after another: the events of the former as rows for the new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from ...runtime.errors import InputError
from ..definitions.aggregates import Aggregate
from ..definitions.catalog import AppliedSet
from ..definitions.entity import Entity
from ..definitions.feature_set import FeatureSet
from ..definitions.rules import Rule
from ..definitions.schema import conform
from ..offline.offline import OFFSET, PARTITION, OfflineStore
from ..sources import sources
from ..sources.sources import Source

CURE = "ingest from the source instead"


@dataclass(frozen=True, slots=True)
class Former:
    """A version to take events from; `feature_set` is what it was declared as."""

    feature_set: FeatureSet
    applied: AppliedSet
    offline: OfflineStore

    def events(self, successor: FeatureSet, *, since: Mapping[int, int], upto: Mapping[int, int]) -> Source:
        """Its events beyond `since` up to `upto`, by partition in the order of their offsets, as rows for another set.

        Reading raises `InputError` when the events do not say what they were before this version's transform.
        """
        table = self.applied.full_name
        return Source(
            name=self.applied.label,
            chunks=lambda: self._chunks(successor, since, upto),
            identity=f"{table}:{sorted(since.items())}:{sorted(upto.items())}",
            rows=sum(end - since.get(partition, -1) for partition, end in upto.items()),
        )

    def _chunks(
        self, successor: FeatureSet, since: Mapping[int, int], upto: Mapping[int, int]
    ) -> Iterator[pl.DataFrame]:
        inputs = successor.input_schema
        for name in inputs:
            if name not in self.applied.columns:
                raise InputError(f"{self.applied.label} has no column {name!r}; {CURE}")
        for partition, end in sorted(upto.items()):
            for first in range(since.get(partition, -1), end, sources.CHUNK_ROWS):
                last = min(first + sources.CHUNK_ROWS, end)
                inside = (pl.col(PARTITION) == partition) & (pl.col(OFFSET) > first) & (pl.col(OFFSET) <= last)
                found = self.offline.read(self.applied.full_name, [*inputs, OFFSET], where=inside).sort(OFFSET)
                rows = conform(found, inputs, owner=f"{self.applied.label} ({CURE})")
                self._check_stable(rows)
                yield rows

    def _check_stable(self, rows: pl.DataFrame) -> None:
        """Stored events have been through the transform: going through it again must leave them as they are."""
        again = self.feature_set.transformed(rows)
        for name in rows.columns:
            if name in again.columns and not again[name].equals(rows[name], null_equal=True):
                raise InputError(
                    f"{self.applied.label}: the transform replaces {name!r}, and what it was is not stored; {CURE}"
                )


def declared(applied: AppliedSet, body: Mapping[str, Any], *, like: FeatureSet) -> FeatureSet:
    """A version's declaration from the catalog; its code, if any, is that of `like`.

    Raises `InputError` when that is other code: it would say something else of events that are waiting in the log.
    """
    made = FeatureSet(
        applied.name,
        [Entity(name, dtype) for name, dtype in body["entities"]],
        body["timestamp"],
        body["schema"],
        [Aggregate(column, functions, windows, granularity=g) for column, functions, windows, g in body["aggregates"]],
        features=[name for name, _ in body["plain"]],
        rules=[
            Rule(name, kind, tuple(bounds) or None, tuple(a), fail) for name, kind, bounds, a, fail in body["rules"]
        ],
        ttl=body["ttl"],
    )
    if not body["transform"]:
        return made
    if body["transform"] != like.definition()["transform"]:
        raise InputError(f"{applied.label} has another transform, which its stored events have been through; {CURE}")
    made.transform(like.transformed)
    return made
