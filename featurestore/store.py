"""The feature store: one object that ties catalog, log, offline and online store together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING

from ..runtime.errors import DefinitionError
from ..runtime.settings import Settings
from .batches.backfill import Crew, moment_us
from .batches.batches import Batches
from .definitions.catalog import AppliedSet
from .definitions.feature_set import FeatureSet
from .definitions.feature_vector import FeatureVector
from .definitions.registry import Registry
from .definitions.wanted import resolve
from .events.log import DeadLetter, EventLog
from .offline.audit import Audit
from .offline.engine_choice import Engine, Labels
from .offline.erase import sets_with
from .offline.erasure import Erasure, ErasureBook
from .offline.label_join import AsOf
from .offline.past import Past
from .offline.training_set import TrainingSet
from .offline.vector_log import VectorLogs
from .online.online_read import Readers, VectorReader
from .online.online_result import OnlineResult
from .online.requests import Rows as Requested
from .sources.sources import Batchable, Rows, open_source
from .streams.deployment import Deployment
from .streams.stream import LEASE_S, Stream
from .streams.stream_status import StreamStatus
from .streams.streams import Streams
from .streams.worker import Stores

if TYPE_CHECKING:
    from ..runtime.redis_client import Client
    from ..runtime.sql_catalog import Catalog
    from .offline.offline import Compacted, OfflineStore
    from .online.online import OnlineStore


def wall_clock_us() -> int:
    """Now, in microseconds."""
    return time.time_ns() // 1000


class FeatureStore:
    """Features of one home (or of the servers that the settings name), offline and online.

    Cheap to make: servers start and connections open when first needed. `close` gives them back. `now_us`
    is the clock by which events are stamped as ingested.
    """

    def __init__(self, settings: Settings | None = None, *, now_us: Callable[[], int] = wall_clock_us) -> None:
        self.settings = settings or Settings.from_env()
        self._now_us = now_us
        self._vector_logs = VectorLogs(lambda: self._offline, lambda name: ErasureBook(self._catalog).erased(name))
        self._applied: dict[str, AppliedSet] = {}
        self._readers = Readers()

    @classmethod
    def from_env(cls) -> FeatureStore:
        """A store as the environment describes it."""
        return cls(Settings.from_env())

    def apply(self, feature_set: FeatureSet, *, partitions: int | None = None) -> AppliedSet:
        """Makes this declaration the active version of its name; the same content gives the same version.

        `partitions` (4 unless said) is how many workers can share its stream; it holds for this version for ever.
        """
        self.streams.derives(feature_set)
        applied = self._applied[feature_set.name] = self._registry.put(feature_set)
        if partitions is not None:
            self.streams.log(applied, partitions)
        return applied

    def feature_sets(self) -> list[AppliedSet]:
        """The active version of every feature set, by name."""
        return self._registry.all_active()

    def get(self, name: str) -> AppliedSet:
        """The active version; raises `FeatureSetNotFound` with the nearest name."""
        if name not in self._applied:
            self._applied[name] = self._registry.active(name)
        return self._applied[name]

    def ingest(
        self,
        feature_set: FeatureSet,
        source: Batchable,
        *,
        until: datetime | str | None = None,
        ingest_id: str | None = None,
        engine: Engine | None = None,
    ) -> int:
        """Stores a batch of any size offline and online; how many rows were new.

        `source` is a Polars, pandas or Arrow frame, a LazyFrame, a Ray Dataset, a list of dicts, or a path, folder,
        glob or URI of Parquet, CSV or JSON-lines files or a Delta table. All of it is read and checked before anything
        counts: `InputError` names file, column and row. Rows that break a rule are put aside (`dead_letters`), columns
        that the set does not know are left out.

        A batch counts once: killed and run again it goes on where it was, run again when it is done it adds nothing.
        It is known by the names, sizes and times of its files, else by its content, or by `ingest_id`. `until` leaves
        out rows at or after a moment, where a stream takes over; a stream may run meanwhile: every event counts once.
        With `engine="ray"` tasks read the files and a worker a partition stores them; many gigabytes of files go that
        way by themselves where this process has a Ray.
        """
        applied = self.streams.given(feature_set)
        opened = open_source(source, feature_set.input_schema, owner=feature_set.name)
        cut = moment_us(until)
        done = self._batches.ingest(feature_set, applied, opened, until_us=cut, ingest_id=ingest_id, engine=engine)
        self.streams.derive(feature_set)
        return done

    def backfill(self, feature_set: FeatureSet) -> int:
        """Makes a changed declaration a version, filled with the events of the active one, and only then activates it.

        Until it is ready, readers, streams and pushes go on with the version before; how many events came over. Run it
        again after a crash, or for what was pushed to the former version meanwhile by programs that do not know the new
        one yet. Raises `InputError` when stored events do not say what the new version needs.
        """
        done = self._batches.succeed(feature_set)
        self._applied.pop(feature_set.name, None)
        return done

    def push(
        self, feature_set: FeatureSet, rows: Rows, *, wait: bool = False, once: str = "", patience_s: float = 5.0
    ) -> int:
        """Adds events to the set's log; how many were accepted. With `wait`, they are online when it returns.

        Repeated within a day with the same `once` it adds nothing more: for callers who try again. While the log is
        full it waits, and raises `LogFull` after `patience_s`, with the time to try again after.
        """
        return self.streams.push(feature_set, rows, wait=wait, once=once, patience_s=patience_s)

    def update(self, feature_set: FeatureSet) -> int:
        """Brings a set derived from another one up to date, online; how many events of its source were new to it.

        Its stream does that all the time; and where this store applied both, what is ingested into the source, or
        pushed to it with `wait=True`, comes along.
        """
        return self.streams.update(feature_set)

    def stream(
        self, feature_set: FeatureSet, *, source: str | None = None, lease_s: float = LEASE_S
    ) -> AbstractContextManager[Stream]:
        """Runs a worker of the set beside this program for the length of the block; ends with all of it stored.

        It shares the set's partitions with every other stream of the set, in this and in other processes; what one
        leaves behind that died without a word, the others take over after `lease_s`. A `source`
        (`redis://HOST:PORT/STREAM` of XADD fields or JSON, `kafka://HOST:PORT/TOPIC` of JSON) is read from where it was
        left, each message once.
        """
        return self.streams.run(feature_set, lease_s=lease_s, source=source)

    def deploy_stream(
        self, feature_set: FeatureSet, *, workers: int = 1, source: str | None = None, cpus: float = 0.0
    ) -> list[StreamStatus]:
        """Starts workers on the Ray that stays (`eagleray up`, `RAY_ADDRESS`); they outlive this program.

        A worker that is killed starts again where it was; `source` is as in `stream`. Deploying anew replaces them one
        by one; `store.streams` shows and stops them. Raises `ServerUnavailable` where no Ray stays.
        """
        how = Deployment(self._checked(feature_set).full_name, workers, source=source, cpus=cpus)
        self.streams.on_ray().deploy(self, feature_set, how)
        return self.streams.status(feature_set.name)

    @cached_property
    def streams(self) -> Streams:
        """The streams of this store's sets: `status`, `stop`, `replay`."""
        return Streams(
            self.settings,
            checked=self._checked,
            versions=lambda name: self._registry.versions(name),
            stores=self._stores,
            open_log=self._open_log,
            now_us=self._now_us,
        )

    def dead_letters(self, name: str, *, most: int = 100) -> list[DeadLetter]:
        """The newest rows that were put aside, with the reasons."""
        return self.streams.log(self.get(name)).buried(most=most)

    def vector_reader(self, vector: FeatureVector, *, log_sample: float | None = None) -> VectorReader:
        """The vector, checked and compiled for many online reads.

        A share `log_sample` of them (the vector's own unless said) is kept for `audit`.
        """
        sample = vector.log_sample if log_sample is None else log_sample
        listener = partial(self._vector_logs.of, vector.name, sample=sample)
        if log_sample is None:
            return self._readers.of(vector, self.get, lambda: self._online, listener=listener)
        wanted = resolve(vector, self.get)
        return VectorReader(vector, wanted, self._online, listener=listener(wanted))

    def get_online_features(self, vector: FeatureVector, rows: Requested) -> OnlineResult:
        """The vector's features for each request (rows, or a mapping of columns), in one round trip."""
        return self.vector_reader(vector).get(rows)

    async def aget_online_features(self, vector: FeatureVector, rows: Requested) -> OnlineResult:
        """`get_online_features` for coroutines."""
        return await self.vector_reader(vector).aget(rows)

    def get_historical_features(
        self,
        vector: FeatureVector,
        labels: Labels,
        *,
        pins: Mapping[str, int] | None = None,
        as_of: AsOf = "event",
        engine: Engine | None = None,
    ) -> TrainingSet:
        """The labels with each feature as it was at their moment; equal to the bit to what serving saw.

        With the `pins` of a training set made before it is rebuilt from the same versions and the same events.
        Late events count by their event time; as of "knowledge" only once they had been applied, as in serving.
        Labels are a frame, the path of a Parquet file or a Ray Dataset; what memory does not hold is joined on Ray
        (`engine` "local" or "ray" decides) and stays there until asked for.
        """
        return self._past.training_set(vector, labels, pins=pins, as_of=as_of, engine=engine)

    def compact(self, name: str) -> Compacted:
        """Merges the small files of a set's offline tables, as appends do now and then; pins go on to hold."""
        return self._past.compact(name)

    def audit(self, *, since: datetime | None = None, most: int | None = None) -> Audit:
        """Computes logged vectors again from the offline tables, by what each had seen, and compares bit for bit."""
        self._vector_logs.flush()
        return self._past.audit(since=since, most=most)

    def erase(
        self, feature_set: str | FeatureSet | None, entity: Mapping[str, object], *, reason: str, by: str = ""
    ) -> list[Erasure]:
        """Removes one entity for good, of one feature set or (None) of all that are about it; a record a set.

        From every version's offline table (also what pins stand for: a set rebuilt from them is without it), the online
        store, the log, dead letters and logged vectors. Its events from before do not count when they come again.
        What an ingestion that broke off has left on disk goes with the set's next one.
        """
        self._vector_logs.flush()
        name = feature_set.name if isinstance(feature_set, FeatureSet) else feature_set
        sets = sets_with(entity, self.feature_sets()) if name is None else [self.get(name)]
        return self._past.erase(sets, entity, reason=reason, by=by)

    def erasures(self, name: str) -> list[Erasure]:
        """What was erased from a feature set: who, when, why and how much, but not which entity."""
        return ErasureBook(self._catalog).all_of(self.get(name).name)

    def close(self) -> None:
        """Gives the connections back; the embedded server stays for this process's other users, until it ends."""
        self._readers = Readers()
        self._vector_logs.close()
        self.streams.close()
        self.__dict__.pop("_registry", None)
        for name in ("_client", "_online", "_catalog"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Settings]]:
        # Connections stay behind: where it arrives, the store opens its own.
        return FeatureStore, (self.settings,)

    @property
    def _batches(self) -> Batches:
        folder = self.settings.home / "staged"
        return Batches(self._registry, folder, self._now_us, self._stores, self._crew)

    def _crew(self, feature_set: FeatureSet, partitions: int) -> Crew:
        from .batches.ray_backfill import RayCrew

        return RayCrew(self, feature_set, self.settings, partitions=partitions)

    @property
    def _past(self) -> Past:
        return Past(
            self.settings,
            self._registry.namespace,
            self._catalog,
            self._offline,
            active=self.get,
            versions=lambda name: self._registry.versions(name),
            online=lambda: self._online,
            log_of=self.streams.log,
        )

    @cached_property
    def _registry(self) -> Registry:
        return Registry(self._catalog)

    def _checked(self, feature_set: FeatureSet) -> AppliedSet:
        applied = self.get(feature_set.name)
        if applied.content_hash != feature_set.content_hash():
            raise DefinitionError(
                f"{feature_set.name} has changed since version {applied.version} was applied; "
                "call store.apply(...) to make the change a version"
            )
        return applied

    def _stores(self, applied: AppliedSet) -> Stores:
        erased = partial(ErasureBook(self._catalog).erased, applied.name)
        return Stores(online=self._online, offline=self._offline, log=self.streams.log(applied), erased=erased)

    def _open_log(self, applied: AppliedSet, partitions: int | None) -> EventLog:
        from .events.redis_log import PARTITIONS, RedisLog

        name, known = applied.full_name, lambda: self._offline.offsets(applied.full_name)
        return RedisLog(self._client, self.settings, name=name, partitions=partitions or PARTITIONS, known=known)

    @cached_property
    def _client(self) -> Client:
        from ..runtime import redis_client

        # Whatever log and online store ask may be asked twice, so a broken connection is simply made again.
        return redis_client.connect(self.settings, retries=redis_client.RESTART_RETRIES)

    @cached_property
    def _online(self) -> OnlineStore:
        from .online.redis_open_online import open_online

        return open_online(self.settings)

    @cached_property
    def _offline(self) -> OfflineStore:
        from .offline.delta_offline import DeltaOfflineStore

        return DeltaOfflineStore(self.settings.offline_root)

    @cached_property
    def _catalog(self) -> Catalog:
        from ..runtime.sql_catalog import Catalog

        return Catalog(self.settings.catalog)
