"""The batches of one store: ingestions, and new versions filled with the events of those before them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ...runtime import ray_cluster
from ...runtime.errors import DefinitionError, FeatureSetNotFound, InputError, did_you_mean
from ..definitions.catalog import KIND, AppliedSet
from ..definitions.feature_set import FeatureSet
from ..definitions.registry import Registry
from ..offline.engine_choice import Engine
from ..sources.sources import Source
from ..streams.settling import Hands
from ..streams.worker import Stores
from .backfill import Crew, Ingestion, Target, ingest
from .ledger import CatalogLedger
from .succession import Former, declared

RAY_BYTES = 1 << 30
FILLING = "filling"  # the catalog's kind of how far one version has taken over another


@dataclass(frozen=True, slots=True)
class Batches:
    """Batch work of one store, which lends its registry, its clock and where versions lie; `folder` is for staging."""

    registry: Registry
    folder: Path
    now_us: Callable[[], int]
    stores: Callable[[AppliedSet], Stores]
    crew: Callable[[FeatureSet, int], Crew]

    def ingest(
        self,
        feature_set: FeatureSet,
        applied: AppliedSet,
        source: Source,
        *,
        until_us: int | None = None,
        ingest_id: str | None = None,
        engine: Engine | None = None,
    ) -> int:
        """Stores the source in one version; how many rows were new. Raises `InputError` for an unknown engine."""
        job = Ingestion(feature_set, source, self.folder / applied.full_name, self.now_us(), until_us, ingest_id)
        stores = self.stores(applied)
        into = Target(stores, applied.full_name, CatalogLedger(self.registry.catalog, applied.full_name))
        on_ray = chosen(engine, source, ray_is_up=ray_cluster.is_up()) == "ray"
        crew = self.crew(feature_set, stores.log.partitions) if on_ray else None
        with Hands(feature_set, applied, stores) as hands:
            return ingest(job, into=into, settler=hands, crew=crew)

    def succeed(self, feature_set: FeatureSet) -> int:
        """Fills this version from the one before it and then makes it the active one; how many events came over."""
        if feature_set.source is not None:
            raise DefinitionError(f"{feature_set.name} is derived: it takes what its source has by itself")
        name, content_hash = feature_set.name, feature_set.content_hash()
        others = [one for one in self.registry.catalog.versions(KIND, name) if one.content_hash != content_hash]
        if not others:
            raise FeatureSetNotFound(f"{name} has no version before this one; store.ingest(...) fills it")
        before = max(others, key=lambda one: (one.active, one.version))
        old = self.registry.of_document(before)
        former = Former(declared(old, before.body, like=feature_set), old, self.stores(old).offline)
        applied = self.registry.put(feature_set, activate=False)
        done = 0
        while count := self._take_over(former, feature_set, applied):
            done += count
        self.registry.put(feature_set)
        # What reached the former version between the last look and the switch.
        return done + (self._take_over(former, feature_set, applied) or 0)

    def _take_over(self, former: Former, feature_set: FeatureSet, applied: AppliedSet) -> int | None:
        """Ingests what the former version has more than last time, None for nothing.

        How far a round goes is noted before it begins: one that broke off is gone through again as it was.
        """
        table, old = former.applied.full_name, self.stores(former.applied)
        with Hands(former.feature_set, former.applied, old) as hands:
            hands.settle(old.log.ends())
        name = f"{applied.full_name}<{former.applied.version}"
        known = self.registry.catalog.active(FILLING, name)
        since = _numbers(known.body["upto"]) if known is not None else {}
        going_to = _numbers(known.body["going_to"]) if known is not None else {}
        upto = going_to if going_to != since else old.offline.offsets(table)
        if upto == since:
            return None
        self._note(name, upto=since, going_to=upto)
        count = self.ingest(feature_set, applied, former.events(feature_set, since=since, upto=upto))
        self._note(name, upto=upto, going_to=upto)
        return count

    def _note(self, name: str, **offsets: Mapping[int, int]) -> None:
        body = {kind: {str(partition): at for partition, at in found.items()} for kind, found in offsets.items()}
        content_hash = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        self.registry.catalog.put(FILLING, name, content_hash=content_hash, body=body)


def chosen(engine: str | None, source: Source, *, ray_is_up: bool) -> Engine:
    """As asked, or by size: Ray for large files where this process has one, it is never started for that."""
    if engine is not None and engine not in get_args(Engine):
        raise InputError(f"engine={engine!r}{did_you_mean(engine, get_args(Engine))}")
    large = ray_is_up and len(source.parts) > 1 and source.bytes >= RAY_BYTES
    return "ray" if engine == "ray" or (engine is None and large) else "local"


def _numbers(offsets: Mapping[str, int]) -> dict[int, int]:
    return {int(partition): at for partition, at in offsets.items()}
