"""Logged vectors: a sample of what serving answered, kept to be audited."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import polars as pl

from ...runtime.errors import EaglerayError
from ..definitions.wanted import Wanted
from ..online.online_result import OnlineResult
from ..state.columns import listed
from .erasure import NOTHING_ERASED, Erased
from .offline import OFFSET, PARTITION, OfflineStore

WRITE_EVERY_S = 5.0
MOST_WAITING = 1000  # answers; beyond that the newest are dropped and counted
SCHEMA = {
    "vector": pl.String(),
    "set": pl.String(),
    "entities": pl.String(),  # JSON, by name
    "features": pl.String(),  # JSON, the names
    "answered": pl.String(),  # JSON, the values in their order; floats as text that gives the same bits back
    "q_us": pl.Int64(),
    "seen": pl.Int64(),  # the last offset of the log that the answer had seen, -1 for none
    "logged": pl.Datetime("us", "UTC"),
    PARTITION: pl.Int32(),  # of this writer
    OFFSET: pl.Int64(),
}


def vectors_table(namespace: str) -> str:
    """The table of all logged vectors of a store."""
    return f"{namespace}/vectors"


class VectorLog:
    """Takes a share of the answers of one vector aside; a thread writes them to a table, a reader never waits."""

    def __init__(
        self,
        vector: str,
        wanted: Sequence[Wanted],
        offline: OfflineStore,
        *,
        sample: float,
        erased: Callable[[str], Erased] = lambda _: NOTHING_ERASED,
    ) -> None:
        self._vector = vector
        self._erased = erased
        self._wanted = tuple(wanted)
        self._offline = offline
        self._sample = sample
        self._waiting: deque[tuple[int, OnlineResult]] = deque()
        self._writer = -random.randrange(1, 2**31)  # below 0: no partition of a log
        self._written = 0
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0
        self.last_error: str | None = None

    def __call__(self, answer: OnlineResult) -> None:
        """Perhaps keeps the answer."""
        if random.random() >= self._sample:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append((time.time_ns() // 1000, answer))
        if self._thread is None:
            self._begin()

    def flush(self) -> None:
        """Writes what waits; raises `StorageError` and keeps it."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
            frames = [self._rows(logged_us, answer, item) for logged_us, answer in taken for item in self._wanted]
            if not frames:
                return
            frame = pl.concat(frames)
            offsets = pl.int_range(self._written, self._written + frame.height, dtype=pl.Int64)
            try:
                self._offline.append(
                    vectors_table(self._wanted[0].applied.namespace),
                    frame.with_columns(pl.lit(self._writer, dtype=pl.Int32).alias(PARTITION), offsets.alias(OFFSET)),
                    last_offsets={},
                )
            except EaglerayError:
                self._waiting.extendleft(reversed(taken))
                raise
            self._written += frame.height

    def close(self) -> None:
        """Writes what waits and stops."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"vectors of {self._vector}", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._ends.wait(WRITE_EVERY_S):
            try:
                self.flush()
                self.last_error = None
            except EaglerayError as error:
                self.last_error = str(error)

    def _rows(self, logged_us: int, answer: OnlineResult, item: Wanted) -> pl.DataFrame:
        label, applied = item.applied.label, item.applied
        names = [ref.feature for ref in item.refs]
        types = applied.feature_types
        columns = answer.of_set(label)
        features = [listed(columns[ref.column], types[ref.feature]) for ref in item.refs]
        keys = {entity.name: answer.entity(entity) for entity in sorted(applied.entities, key=lambda one: one.name)}
        count = len(answer)
        made = pl.DataFrame(
            {
                "vector": [self._vector] * count,
                "set": [label] * count,
                "entities": [told(dict(zip(keys, row, strict=True))) for row in zip(*keys.values(), strict=True)],
                "features": [told(names)] * count,
                "answered": [told(list(row)) for row in zip(*features, strict=True)],
                "q_us": answer.moments_us[label],
                "seen": answer.offsets[label],
                "logged": [logged_us] * count,
                PARTITION: [0] * count,
                OFFSET: [0] * count,
            },
            schema_overrides={name: dtype for name, dtype in SCHEMA.items() if name != "logged"},
        ).with_columns(pl.col("logged").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
        # What was erased while the answer waited here must not come back with it.
        of_whom = pl.DataFrame(keys).with_columns(made["logged"])
        kept = self._erased(applied.name).kept(of_whom, applied.entities, "logged")
        return made if kept is None else made.filter(kept)


def told(value: object) -> str:
    """As JSON, the same text for the same bits."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


class VectorLogs:
    """The logs of one store, one a vector and share; `erased` tells what must not be kept of a feature set."""

    def __init__(self, offline: Callable[[], OfflineStore], erased: Callable[[str], Erased]) -> None:
        self._offline = offline
        self._erased = erased
        self._logs: dict[tuple[object, ...], VectorLog] = {}

    def of(self, vector: str, wanted: Sequence[Wanted], *, sample: float) -> VectorLog | None:
        """The log that takes this share of the vector's answers; None for a share of 0."""
        if not sample:
            return None
        key = (vector, sample, *((item.applied.full_name, item.refs) for item in wanted))
        if key not in self._logs:
            self._logs[key] = VectorLog(vector, wanted, self._offline(), sample=sample, erased=self._erased)
        return self._logs[key]

    def flush(self) -> None:
        """Writes what waits; raises `StorageError` and keeps it."""
        for log in self._logs.values():
            log.flush()

    def close(self) -> None:
        """Writes what waits and stops."""
        while self._logs:
            self._logs.popitem()[1].close()
