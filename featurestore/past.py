"""The past of a feature store: training sets as of any moment, rebuilt from pins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from .catalog import AppliedSet
from .feature_vector import FeatureVector
from .offline import Compacted, OfflineStore
from .pins import PinBook, pinned_set
from .training_set import AsOf, TrainingSet, build
from .wanted import resolve

if TYPE_CHECKING:
    from ..runtime.sql_catalog import Catalog


@dataclass(frozen=True, slots=True)
class Past:
    """What a store knows of its past: `active` gives a set's version of today, `versions` all of them."""

    catalog: Catalog
    offline: OfflineStore
    active: Callable[[str], AppliedSet]
    versions: Callable[[str], list[AppliedSet]]

    def training_set(
        self,
        vector: FeatureVector,
        labels: pl.DataFrame,
        *,
        pins: Mapping[str, int] | None = None,
        as_of: AsOf = "event",
    ) -> TrainingSet:
        """The labels with the vector's features; from the active versions as they are, or as the pins say."""
        book = PinBook(self.catalog, self.offline)
        if pins is None:
            wanted = resolve(vector, self.active)
            cuts = {item.applied.label: book.taken(item.applied) for item in wanted}
        else:
            wanted = resolve(vector, lambda name: pinned_set(name, pins, self.versions))
            cuts = {item.applied.label: book.found(item.applied, pins[item.applied.label]) for item in wanted}
        return build(vector, labels, wanted=wanted, offline=self.offline, cuts=cuts, as_of=as_of)

    def compact(self, name: str) -> Compacted:
        """Merges the files of every version of a feature set; training sets pinned to it stay as they are."""
        self.active(name)
        done = [self.offline.compact(applied.full_name) for applied in self.versions(name)]
        return Compacted(sum(one.files_before for one in done), sum(one.files_after for one in done))
