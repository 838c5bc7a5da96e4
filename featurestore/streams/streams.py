"""What flows into one store: the logs of its feature sets, pushes, and the workers that take events out of the logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...runtime.errors import DefinitionError
from ...runtime.settings import Settings
from ..definitions.catalog import AppliedSet
from ..definitions.feature_set import FeatureSet
from ..events.backlog import Bound, Gate
from ..events.log import EventLog, Offsets
from ..sources.open_events import open_events
from ..sources.sources import Rows
from .catch_up import catch_up
from .ingest import accept, by_partition
from .intake import Intake
from .relay import End, Relay
from .replay import given_again
from .stream import Stream
from .stream_status import StreamStatus, status_of
from .worker import Stores

if TYPE_CHECKING:
    from .ray_streams import RayStreams


@dataclass
class Streams:
    """The streams of one store, which lends how its sets are `checked` and where they are stored.

    `status`, `stop` and `replay` are for users; `push` and `run` are the store's own `push` and `stream`.
    """

    settings: Settings
    checked: Callable[[FeatureSet], AppliedSet]
    versions: Callable[[str], list[AppliedSet]]
    stores: Callable[[AppliedSet], Stores]
    open_log: Callable[[AppliedSet, int | None], EventLog]
    now_us: Callable[[], int]
    bound: Bound = Bound()  # how much a partition of a log may hold before a push waits; set it before the first push
    _logs: dict[str, EventLog] = field(default_factory=dict)
    _gates: dict[str, Gate] = field(default_factory=dict)
    _running: dict[str, Stream] = field(default_factory=dict)
    _derived: dict[str, dict[str, FeatureSet]] = field(default_factory=dict)  # by the name of their source

    def log(self, applied: AppliedSet, partitions: int | None = None) -> EventLog:
        """The version's log; raises `DefinitionError` when it has another number of partitions already."""
        name = applied.full_name
        log = self._logs[name] = self._logs.get(name) or self.open_log(applied, partitions)
        if partitions not in (None, log.partitions):
            raise DefinitionError(
                f"{applied.label} has {log.partitions} partitions already; only a new version may have others"
            )
        return log

    def derives(self, feature_set: FeatureSet) -> None:
        """From now on it comes along where this store waits for its source."""
        if feature_set.source is not None:
            self.checked(feature_set.source)
            self._derived.setdefault(feature_set.source.name, {})[feature_set.name] = feature_set

    def given(self, feature_set: FeatureSet) -> AppliedSet:
        """The version of a set that takes events; raises `DefinitionError` for one that takes another set's."""
        if feature_set.source is not None:
            source = feature_set.source.name
            raise DefinitionError(f"{feature_set.name} is derived from {source}: give {source} the events")
        return self.checked(feature_set)

    def push(self, feature_set: FeatureSet, rows: Rows, *, wait: bool, once: str, patience_s: float) -> int:
        """Adds events to the set's log; how many were accepted."""
        applied = self.given(feature_set)
        accepted = accept(feature_set, rows, now_us=self.now_us())
        log = self.log(applied)
        parts = by_partition(feature_set, accepted.frame, log.partitions)
        gate = self._gates.setdefault(applied.full_name, Gate(log, name=applied.label, bound=self.bound))
        gate.pass_through(parts, events=accepted.frame.height, patience_s=patience_s)
        ends = {batch.partition: batch.last for batch in log.append(parts, token=once)}
        log.bury(accepted.letters)
        if wait:
            self._settle(feature_set, ends)
            self.derive(feature_set)
        elif (stream := self._running.get(applied.full_name)) is not None:
            stream.wake()
        return accepted.frame.height

    def update(self, feature_set: FeatureSet) -> int:
        """Brings a derived set what its source has, online; how many events that were."""
        done = self._relay(feature_set).drain()
        self._settle(feature_set, self.log(self.checked(feature_set)).ends())
        self.derive(feature_set)
        return done

    def derive(self, feature_set: FeatureSet) -> None:
        """Updates the sets that this store knows to be derived from it."""
        for derived in self._derived.get(feature_set.name, {}).values():
            self.update(derived)

    @contextmanager
    def run(
        self, feature_set: FeatureSet, *, lease_s: float, owner: str = "", source: str | None = None
    ) -> Iterator[Stream]:
        """A worker beside this program for the length of the block, with an intake where there is a source."""
        applied, ttl_ms = self.checked(feature_set), int(1000 * lease_s)
        stores = self.stores(applied)
        with ExitStack() as ends:
            intake: Intake | None = None
            if source is not None:
                events = open_events(source, feature_set.input_schema)
                gate = Gate(stores.log, name=applied.label, bound=self.bound)
                intake = Intake(feature_set, applied, stores, events, gate=gate, now_us=self.now_us, ttl_ms=ttl_ms)
                ends.callback(intake.close)
            feed = None if feature_set.source is None else self._relay(feature_set).step
            stream = Stream(feature_set, applied, stores, owner=owner, ttl_ms=ttl_ms, feed=feed)
            if intake is not None:
                stream.error_beside = lambda: intake.last_error
            self._running[applied.full_name] = stream
            try:
                yield stream
            finally:
                self._running.pop(applied.full_name, None)
                ends.close()  # the intake first, so that nothing comes after what the stream still does
                stream.close()

    def status(self, name: str) -> list[StreamStatus]:
        """How the streams of the set stand, newest version first; needs neither its code nor Ray."""
        versions = sorted(self.versions(name), key=lambda applied: -applied.version)
        stores = [(applied, self.stores(applied)) for applied in versions]
        return [status_of(a.label, a.full_name, found.log, found.online.leases) for a, found in stores]

    def stop(self, name: str) -> int:
        """Ends the set's deployed workers, of every version, their work saved; how many there were."""
        return self.on_ray().stop([applied.full_name for applied in self.versions(name)])

    def replay(self, feature_set: FeatureSet, *, most: int = 1000) -> int:
        """Pushes the newest dead letters again, after a cure, and drops them; how many were accepted this time.

        Letters of earlier versions come too, for a cure makes a new version. Those that no longer are rows of the set
        stay; those that fail again come back as new letters.
        """
        self.checked(feature_set)
        done = 0
        for applied in self.versions(feature_set.name):
            log = self.log(applied)
            again = given_again(feature_set, log.buried(most=most))
            if again.letters:
                done += self.push(feature_set, again.frame, wait=False, once=again.token, patience_s=5.0)
                log.forget(again.letters)
        return done

    def on_ray(self) -> RayStreams:
        """What deploys; raises `ServerUnavailable` where no Ray stays."""
        from .ray_streams import RayStreams

        return RayStreams(self.settings)

    def _settle(self, feature_set: FeatureSet, ends: Offsets) -> None:
        applied = self.checked(feature_set)
        stream = self._running.get(applied.full_name)
        if stream is None:
            catch_up(feature_set, applied, self.stores(applied), ends)
        else:
            stream.wake()
            stream.wait_for(ends)

    def _relay(self, derived: FeatureSet) -> Relay:
        if derived.source is None:
            raise DefinitionError(f"{derived.name} is derived from no other set: it is given its events")
        ends = []
        for feature_set in (derived.source, derived):
            applied = self.checked(feature_set)
            ends.append(End(feature_set, applied, self.stores(applied)))
        return Relay(*ends, now_us=self.now_us)

    def close(self) -> None:
        """Forgets the logs; their connections are the store's."""
        self._logs.clear()
        self._gates.clear()
