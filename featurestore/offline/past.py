"""The past of a feature store: training sets as of any moment, rebuilt from pins."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from ...runtime.errors import InputError
from ...runtime.settings import Settings
from ..definitions.catalog import AppliedSet
from ..definitions.feature_vector import FeatureVector
from ..definitions.wanted import resolve, resolve_label
from ..events.log import EventLog
from ..online.online import OnlineStore
from ..online.requests import moment_us
from .audit import Audit, Auditor
from .engine_choice import Engine, Labels, chosen
from .erase import Eraser, named
from .erasure import Erasure, ErasureBook
from .label_join import AsOf, build, check_as_of
from .offline import Compacted, OfflineStore
from .pins import Cut, PinBook, pinned_set
from .training_set import TrainingSet

if TYPE_CHECKING:
    from ...runtime.sql_catalog import Catalog


@dataclass(frozen=True, slots=True)
class Past:
    """What a store knows of its past: `active` gives a set's version of today, `versions` all of them.

    `online` and `log_of` open what only an erasure and an audit need.
    """

    settings: Settings
    namespace: str
    catalog: Catalog
    offline: OfflineStore
    active: Callable[[str], AppliedSet]
    versions: Callable[[str], list[AppliedSet]]
    online: Callable[[], OnlineStore]
    log_of: Callable[[AppliedSet], EventLog]

    def training_set(
        self,
        vector: FeatureVector,
        labels: Labels,
        *,
        pins: Mapping[str, int] | None = None,
        as_of: AsOf = "event",
        engine: Engine | None = None,
    ) -> TrainingSet:
        """The labels with the vector's features; from the active versions as they are, or as the pins say."""
        check_as_of(as_of)
        book = PinBook(self.catalog, self.offline)
        cuts: dict[str, Cut] = {}

        def active(name: str) -> AppliedSet:
            return self.active(name) if pins is None else pinned_set(name, pins, self.versions)

        def cut(applied: AppliedSet) -> Cut:
            if applied.label not in cuts:
                pinned = None if pins is None else pins[applied.label]
                cuts[applied.label] = book.taken(applied) if pinned is None else book.found(applied, pinned)
            return cuts[applied.label]

        wanted = resolve(vector, active)
        wanted += resolve_label(vector, active, lambda applied: self._newest_us(applied, cut(applied)))
        for item in wanted:
            cut(item.applied)
        if chosen(engine, labels, wanted=wanted, cuts=cuts) == "local" and isinstance(labels, pl.DataFrame):
            return build(vector, labels, wanted=wanted, offline=self.offline, cuts=cuts, as_of=as_of)
        from ...runtime import ray_cluster
        from .ray_training_set import build_on_ray

        ray_cluster.connect(self.settings)
        return build_on_ray(vector, labels, wanted=wanted, offline=self.offline, cuts=cuts, as_of=as_of)

    def _newest_us(self, applied: AppliedSet, cut: Cut) -> int:
        """The moment of the set's newest event, -1 where it has none."""
        moments = self.offline.read(applied.full_name, [applied.timestamp], upto=cut.offsets)
        newest = applied.typed(moments)[applied.timestamp].dt.epoch("us").max()
        return newest if isinstance(newest, int) else -1

    def compact(self, name: str) -> Compacted:
        """Merges the files of every version of a feature set; training sets pinned to it stay as they are."""
        self.active(name)
        done = [self.offline.compact(applied.full_name) for applied in self.versions(name)]
        return Compacted(sum(one.files_before for one in done), sum(one.files_after for one in done))

    def erase(self, sets: Sequence[AppliedSet], entity: Mapping[str, object], *, reason: str, by: str) -> list[Erasure]:
        """Erases one entity from every version of these sets, for good; a record a set. Raises `InputError`."""
        if not reason.strip():
            raise InputError("say why the entity is erased: reason='...' is kept with the record")
        book = ErasureBook(self.catalog)
        eraser = Eraser(book, self.online(), self.offline, self.log_of)
        records = []
        for applied in sets:
            hashed = book.hash_of(named(entity, applied), entity, owner=applied.name)
            columns = tuple(sorted(entity))
            now_us = time.time_ns() // 1000
            begun = Erasure(applied.name, columns, hashed, at_us=now_us, by=by or _user(), reason=reason)
            records.append(eraser.erase(self.versions(applied.name), entity, begun))
        return records

    def audit(self, *, since: datetime | None, most: int | None) -> Audit:
        """Logged vectors computed again and compared."""
        auditor = Auditor(self.namespace, self.offline, self._version, lambda applied: self.log_of(applied).partitions)
        since_us = None if since is None else moment_us(since, owner="since")
        return auditor.audit(since_us=since_us, most=most)

    def _version(self, label: str) -> AppliedSet:
        name = label.rpartition(".v")[0]
        return next(applied for applied in self.versions(name) if applied.label == label)


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a container's user may have no name
        return f"uid {os.getuid()}@{socket.gethostname()}"
