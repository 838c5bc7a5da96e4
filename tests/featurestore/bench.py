"""A feature set on in-memory or given stores, with the questions the tests ask of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from eagleray.featurestore.batches.backfill import Ingestion, Target, ingest
from eagleray.featurestore.batches.ledger import MemoryLedger
from eagleray.featurestore.definitions.catalog import AppliedSet
from eagleray.featurestore.definitions.entity import row_key
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.feature_vector import FeatureVector
from eagleray.featurestore.definitions.wanted import resolve
from eagleray.featurestore.events.log import MemoryLog
from eagleray.featurestore.offline.label_join import build
from eagleray.featurestore.offline.offline import MemoryOfflineStore
from eagleray.featurestore.online.online import MemoryOnlineStore
from eagleray.featurestore.online.online_read import VectorReader
from eagleray.featurestore.sources.sources import open_source
from eagleray.featurestore.streams.ingest import accept, by_partition
from eagleray.featurestore.streams.settling import Settler, WorkerSettler
from eagleray.featurestore.streams.worker import Stores, Worker

FAR_FUTURE_US = 2**60
NOWHERE = Path("nothing-is-staged-here")


def applied(feature_set: FeatureSet, version: int = 1) -> AppliedSet:
    """The set as a store would know it."""
    body = feature_set.definition()
    return AppliedSet.of_document(
        "ns", feature_set.name, version=version, content_hash=feature_set.content_hash(), body=body
    )


def memory_stores(partitions: int = 2) -> Stores:
    """All three stores in memory."""
    return Stores(online=MemoryOnlineStore(), offline=MemoryOfflineStore(), log=MemoryLog(partitions))


@dataclass
class Bench:
    """One set and its stores; `now_us` is the clock of ingestion."""

    feature_set: FeatureSet
    stores: Stores = field(default_factory=memory_stores)
    now_us: int = FAR_FUTURE_US
    ledger: MemoryLedger = field(default_factory=MemoryLedger)

    def __post_init__(self) -> None:
        self.applied = applied(self.feature_set)
        self.vector = FeatureVector("v", [f"{self.feature_set.name}:*"], event_time="at")

    def worker(self) -> Worker:
        """A new worker, as after a crash of the one before."""
        return Worker(self.feature_set, self.applied, self.stores)

    def append(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Rows into the log, nothing more."""
        accepted = accept(self.feature_set, rows, now_us=self.now_us)
        log = self.stores.log
        log.append(by_partition(self.feature_set, accepted.frame, log.partitions))

    def stream(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Rows through the log into both stores."""
        self.append(rows)
        worker = self.worker()
        worker.drain()
        worker.save()

    def backfill(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Rows into both stores as a batch."""
        source = open_source(rows, self.feature_set.input_schema, owner=self.feature_set.name)
        self.ingest(Ingestion(self.feature_set, source, NOWHERE, self.now_us, ingest_id=uuid.uuid4().hex))

    def ingest(self, job: Ingestion, settler: Settler | None = None) -> int:
        """A batch ingestion, by a worker of its own unless told otherwise."""
        into = Target(self.stores, self.applied.full_name, self.ledger)
        return ingest(job, into=into, settler=settler or WorkerSettler(self.worker()))

    def online(self, asked: Sequence[Mapping[str, object]]) -> pl.DataFrame:
        """What serving answers; `at` (microseconds) is each question's moment."""
        wanted = resolve(self.vector, lambda _: self.applied)
        return VectorReader(self.vector, wanted, self.stores.online).frame(asked)

    def offline(self, asked: Sequence[Mapping[str, object]]) -> pl.DataFrame:
        """What a training set holds for the same questions."""
        wanted = resolve(self.vector, lambda _: self.applied)
        labels = pl.DataFrame(asked).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
        made = build(self.vector, labels, wanted=wanted, offline=self.stores.offline)
        assert made.frame.height == len(asked), "a label row was lost"
        return made.frame.select(made.feature_names)

    def both(self, asked: Mapping[str, object]) -> dict[str, object]:
        """One question answered online and offline; they must agree to the bit."""
        online, offline = self.online([asked]), self.offline([asked])
        assert same_bits(online, offline), f"online {online.to_dicts()} but offline {offline.to_dicts()}"
        return online.row(0, named=True)

    def stored(self, row: Mapping[str, object]) -> bytes | None:
        """The packed value of one entity."""
        key = self.applied.online_key(row_key(self.applied.entities, row, owner="test"))
        return self.stores.online.read([key])[0]


def same_bits(first: pl.DataFrame, second: pl.DataFrame) -> bool:
    """Equal columns, types, nulls and bytes: stricter than ==, which takes -0.0 for 0.0."""
    if first.schema != second.schema or first.height != second.height:
        return False
    for name in first.columns:
        one, two = first[name], second[name]
        if not one.is_null().equals(two.is_null()):
            return False
        if one.dtype == pl.Float64:
            left, right = (np.ascontiguousarray(s.fill_null(0.0).to_numpy()).view(np.int64) for s in (one, two))
            if not np.array_equal(left, right):
                return False
        elif not one.equals(two, null_equal=True):
            return False
    return True
