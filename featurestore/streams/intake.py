"""An intake: takes what an outside source has to the log of a feature set, each message once.

How far each partition of the log has come with each part of the source stands in that log, moved in the very step that
adds the events; so whoever takes over, after whatever crash, goes on from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import polars as pl

from ...runtime.errors import EaglerayError, Fenced, InputError, LogFull
from ..definitions.catalog import AppliedSet
from ..definitions.feature_set import FeatureSet
from ..definitions.schema import conform
from ..events.backlog import Gate
from ..events.log import DeadLetter
from ..events.membership import TTL_MS, Membership
from ..events.placing import BUCKETS, places
from ..sources.event_source import EventSource, Fetched
from .ingest import accept, buried
from .worker import Stores

MESSAGES_A_STEP = 5_000
POLL_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


class Intake:
    """A thread that shares the source's parts with every other intake of the same source, in whatever process."""

    def __init__(
        self,
        feature_set: FeatureSet,
        applied: AppliedSet,
        stores: Stores,
        source: EventSource,
        *,
        gate: Gate,
        now_us: Callable[[], int],
        ttl_ms: int = TTL_MS,
    ) -> None:
        self._set, self._applied, self._stores = feature_set, applied, stores
        self._source, self._now_us = source, now_us
        self._gate = gate
        self._at: dict[str, dict[int, int]] = {}
        self.last_error: str | None = None
        group = f"{applied.full_name}<{source.name}"
        self._membership = Membership(stores.online.leases, group, source.parts(), ttl_ms=ttl_ms)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"intake {source.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends after the step it is at; what the source still has waits there."""
        self._ends.set()
        self._thread.join()
        self._membership.leave()
        self._source.close()

    def step(self) -> int:
        """Takes over the next messages of its parts; how many there were."""
        self._share()
        return sum(self._step(part) for part in self._membership.held)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._ends.is_set():
            try:
                if not self.step():
                    self._ends.wait(POLL_S)
                pause_s, self.last_error = FIRST_PAUSE_S, None
            except LogFull as full:
                self.last_error = str(full)
                self._ends.wait(min(full.retry_after_s, 1.0))
            except EaglerayError as error:
                self.last_error = f"{type(error).__name__}: {error}"
                self._at.clear()
                self._ends.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _share(self) -> None:
        change = self._membership.change()
        for part in {*change.lost, *change.give}:
            self._membership.release(part)
            self._at.pop(part, None)
        for part in change.take:
            self._membership.claim(part)

    def _step(self, part: str) -> int:
        at = self._at.get(part) or self._look(part)
        fetched = self._source.fetch(part, min(at.values()), most=MESSAGES_A_STEP)
        if fetched is None:
            return 0
        self._gate.pass_through(range(self._stores.log.partitions), events=len(fetched.rows), patience_s=1.0)
        frames, letters = self._parts(fetched, at)
        self._stores.log.bury(letters)
        try:
            self._stores.log.relay(self._name(part), frames, since=at, upto=fetched.upto)
        except Fenced:  # another intake was there first: go on from where it is
            self._at.pop(part, None)
            return 1
        self._at[part] = dict.fromkeys(at, fetched.upto)
        return len(fetched.rows) + len(fetched.letters)

    def _look(self, part: str) -> dict[int, int]:
        name, log, offline = self._name(part), self._stores.log, self._stores.offline
        table = self._applied.full_name
        # A server that lost its last second may know less of it than the offline table.
        at = {home: max(end, offline.taken(table, name, home) - 1) for home, end in log.relayed(name).items()}
        self._at[part] = at
        return at

    def _parts(self, fetched: Fetched, at: dict[int, int]) -> tuple[dict[int, pl.DataFrame], list[DeadLetter]]:
        """The rows that each partition has not had yet, and letters about what is none."""
        letters = list(fetched.letters)
        frame = conform(fetched.rows, self._set.input_schema, owner=self._set.name)
        keyed = frame.select(pl.all_horizontal(pl.col(e.name).is_not_null() for e in self._set.entities)).to_series()
        if not keyed.all():
            letters += buried(frame.filter(~keyed), "an entity is null")
        frame, positions = frame.filter(keyed), fetched.positions[keyed.to_numpy()]
        homes = places(self._set.entities, frame, self._stores.log.partitions) // BUCKETS
        frames: dict[int, pl.DataFrame] = {}
        for home, begin in at.items():
            rows = frame[np.flatnonzero((homes == home) & (positions > begin))]
            try:
                accepted = accept(self._set, rows, now_us=self._now_us())
            except InputError as error:  # a rule that says "raise": here nobody is there to hear it
                accepted, refused = accept(self._set, rows[:0], now_us=self._now_us()), buried(rows, str(error))
                letters += refused
            frames[home] = accepted.frame
            letters += accepted.letters
        return frames, letters

    def _name(self, part: str) -> str:
        return f"{self._source.name}:{part}"
