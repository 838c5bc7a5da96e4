"""The event log: partitions of batches, each event at its own offset. A port and its in-memory form."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

Offsets = Mapping[int, int]  # by partition


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events of one partition; the first has offset `first`, the next `first` + 1 and so on."""

    partition: int
    first: int
    frame: pl.DataFrame

    @property
    def last(self) -> int:
        """The offset of the last event."""
        return self.first + self.frame.height - 1


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that was put aside, as JSON, and why."""

    reason: str
    row: str


class EventLog(Protocol):
    """One log a feature set version; all events of a key go to one partition. Every call is one round trip."""

    partitions: int

    def append(self, parts: Mapping[int, pl.DataFrame]) -> list[Batch]:
        """Adds each partition's events at its next offsets; atomic within a partition."""

    def reserve(self, counts: Mapping[int, int]) -> Offsets:
        """Takes offsets for events that are stored elsewhere (a batch ingestion); the first of each partition."""

    def read(self, after: Offsets, *, batches: int) -> list[Batch]:
        """The next batches of each partition whose first offset lies beyond `after`; at most so many each."""

    def ends(self) -> Offsets:
        """The last offset of each partition that was given to an event, -1 for none."""

    def checkpoints(self) -> Offsets:
        """The last offset of each partition whose effect is stored online, -1 for none."""

    def advance(self, ends: Offsets) -> None:
        """Moves the checkpoints; never backwards."""

    def trim(self, ends: Offsets) -> None:
        """Drops events at or before these offsets: they are stored elsewhere by now."""

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Puts rows aside."""

    def buried(self, *, most: int = 100) -> list[DeadLetter]:
        """The rows put aside, newest last."""


def partition_of(key: str, partitions: int) -> int:
    """The partition of an entity's key; the same in every process and for ever."""
    return zlib.crc32(key.encode()) % partitions


class MemoryLog:
    """The same contract in one process's memory."""

    def __init__(self, partitions: int = 4) -> None:
        self.partitions = partitions
        self._batches: list[list[Batch]] = [[] for _ in range(partitions)]
        self._next = [0] * partitions
        self._checkpoints = [-1] * partitions
        self._letters: list[DeadLetter] = []

    def append(self, parts: Mapping[int, pl.DataFrame]) -> list[Batch]:
        """Adds each partition's events at its next offsets."""
        first = self.reserve({partition: frame.height for partition, frame in parts.items()})
        added = [Batch(partition, first[partition], frame) for partition, frame in parts.items()]
        for batch in added:
            self._batches[batch.partition].append(batch)
        return added

    def reserve(self, counts: Mapping[int, int]) -> Offsets:
        """Takes offsets; the first of each partition."""
        first = {partition: self._next[partition] for partition in counts}
        for partition, count in counts.items():
            self._next[partition] += count
        return first

    def read(self, after: Offsets, *, batches: int) -> list[Batch]:
        """The next batches of each partition."""
        return [
            batch
            for partition, offset in after.items()
            for batch in [b for b in self._batches[partition] if b.first > offset][:batches]
        ]

    def ends(self) -> Offsets:
        """The last offset of each partition that was given to an event."""
        return {partition: following - 1 for partition, following in enumerate(self._next)}

    def checkpoints(self) -> Offsets:
        """The last offset of each partition whose effect is stored online."""
        return dict(enumerate(self._checkpoints))

    def advance(self, ends: Offsets) -> None:
        """Moves the checkpoints."""
        for partition, offset in ends.items():
            self._checkpoints[partition] = max(self._checkpoints[partition], offset)

    def trim(self, ends: Offsets) -> None:
        """Drops events at or before these offsets."""
        for partition, offset in ends.items():
            self._batches[partition] = [batch for batch in self._batches[partition] if batch.last > offset]

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Puts rows aside."""
        self._letters += letters

    def buried(self, *, most: int = 100) -> list[DeadLetter]:
        """The rows put aside, newest last."""
        return self._letters[-most:]
