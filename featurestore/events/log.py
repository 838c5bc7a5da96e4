"""The event log: partitions of batches, each event at its own offset. A port and its in-memory form."""

from __future__ import annotations

import itertools
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import polars as pl

from ...runtime.errors import Fenced

Offsets = Mapping[int, int]  # by partition
Runs = Mapping[int, str]

EVENTS_A_BATCH, BYTES_A_BATCH = 10_000, 4 << 20  # what a worker can take at once; one row may be more
BYTES_A_READ = 16 << 20


@dataclass(frozen=True, slots=True)
class Mark:
    """Of the batch ingestion `source` this many `rows` of a partition are in: so a repeated one does not double."""

    source: str
    rows: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a batch ingestion on their way into one partition, `height` of them, all in one batch.

    `held` is the rows themselves, or the folder where they are staged: those after the first `first`.
    """

    mark: Mark
    partition: int
    first: int
    height: int
    held: pl.DataFrame | str


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events of one partition; the first has offset `first`, the next `first` + 1 and so on."""

    partition: int
    first: int
    frame: pl.DataFrame
    mark: Mark | None = None

    @property
    def last(self) -> int:
        """The offset of the last event."""
        return self.first + self.frame.height - 1


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that was put aside, as JSON, and why; `place` is its partition and offset where it had reached the log.

    `id` is how the log knows it, once it is buried.
    """

    reason: str
    row: str
    place: tuple[int, int] | None = None
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Held:
    """What a partition holds in memory: events that the offline table may not have yet."""

    events: int
    bytes: int


class EventLog(Protocol):
    """One log a feature set version; all events of a key go to one partition. Every call is one round trip."""

    @property
    def partitions(self) -> int:
        """How many there are, for ever."""

    def append(self, parts: Mapping[int, pl.DataFrame], *, token: str = "") -> list[Batch]:
        """Adds each partition's events at its next offsets; atomic within a partition.

        Repeated with the same token (within a day) it adds nothing and gives the same offsets.
        """

    def append_pieces(self, pieces: Sequence[Piece]) -> Offsets:
        """Adds each piece, one a partition; the last offset of each. Repeated within a day it adds nothing.

        Staged rows are read when the batch is.
        """

    def relay(self, source: str, parts: Mapping[int, pl.DataFrame], *, since: Offsets, upto: int) -> None:
        """Adds what comes from offset `upto` or before of another log, and after the partition's own `since`.

        A partition that has come as far adds nothing; raises `Fenced` where it is beyond `since` but not at `upto`:
        another relay is ahead, look where it is (`relayed`).
        """

    def relayed(self, source: str) -> Offsets:
        """How far each partition has come with that other log, -1 for not at all."""

    def runs(self) -> Runs:
        """Names the run of the server that each partition is on; one that was started anew may have lost a second."""

    def read(self, after: Offsets, *, events: int, runs: Runs | None = None) -> list[Batch]:
        """The next batches of each partition whose first offset lies beyond `after`, until they hold so many events.

        A partition that has any gives one at least, and no more than some `BYTES_A_READ` bytes.
        What is no batch (another program's bytes) is put aside as a dead letter and gone from the log. Raises `Fenced`
        when a server has been started anew since `runs`: what the caller knows of it may be wrong.
        """

    def ends(self) -> Offsets:
        """The last offset of each partition that was given to an event, -1 for none."""

    def raise_to(self, ends: Offsets) -> None:
        """No event to come gets an offset at or before these: a store knows them already."""

    def checkpoints(self) -> Offsets:
        """The last offset of each partition whose effect is stored online, -1 for none."""

    def advance(self, ends: Offsets, *, runs: Runs | None = None) -> None:
        """Moves the checkpoints; never backwards. Raises `Fenced` as `read` does."""

    def trim(self, ends: Offsets) -> None:
        """Drops events at or before these offsets: they are stored elsewhere by now."""

    def held(self) -> Mapping[int, Held]:
        """How much each partition holds."""

    def waiting_since_ms(self, after: Offsets) -> Mapping[int, int | None]:
        """When the oldest batch beyond these offsets was appended (Unix time by the log's clock), None for none."""

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Puts rows aside; one that has a place is there once, however often it is buried."""

    def buried(self, *, most: int = 100) -> list[DeadLetter]:
        """The rows put aside, newest last."""

    def buried_count(self) -> int:
        """How many there are."""

    def forget(self, letters: Sequence[DeadLetter]) -> None:
        """Drops letters that `buried` gave: they were dealt with."""

    def blank(self, where: pl.Expr) -> list[pl.DataFrame]:
        """Makes these events all null where they stand, and gives them as they were.

        Only for who holds the leases of all partitions: a worker that had read them before must not store them.
        """


def partition_of(key: str, partitions: int) -> int:
    """The partition of an entity's key; the same in every process and for ever."""
    return zlib.crc32(key.encode()) % partitions


def overtaken(source: str) -> Fenced:
    """The error of a relay that another one is ahead of."""
    return Fenced(f"another relay from {source} is ahead of this one; it goes on from there")


def held_rows(piece: Piece, partitions: int) -> pl.DataFrame:
    """The rows of a piece, wherever they are held."""
    if isinstance(piece.held, pl.DataFrame):
        return piece.held
    from .arrow_staging import staged_rows  # only ingestions of some size ever need it

    return staged_rows(piece.held, piece.partition, partitions=partitions, first=piece.first, count=piece.height)


def pieces(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A frame as batches that a worker can hold, in order; nothing for an empty one."""
    size = max(1, int(frame.estimated_size()))
    rows = max(1, min(EVENTS_A_BATCH, frame.height * BYTES_A_BATCH // size))
    return (frame[first : first + rows] for first in range(0, frame.height, rows))


class MemoryLog:
    """The same contract in one process's memory."""

    def __init__(self, partitions: int = 4, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.partitions = partitions
        self._now_ms = now_ms
        self._batches: list[list[tuple[Batch, int]]] = [[] for _ in range(partitions)]
        self._next = [0] * partitions
        self._checkpoints = [-1] * partitions
        self._letters: list[DeadLetter] = []
        self._ids = itertools.count()
        self._tokens: dict[str, list[Batch]] = {}
        self._pieces: dict[tuple[Mark, int], int] = {}
        self._relayed: dict[tuple[str, int], int] = {}

    def append(self, parts: Mapping[int, pl.DataFrame], *, token: str = "") -> list[Batch]:
        """Adds each partition's events at its next offsets."""
        if token and token in self._tokens:
            return self._tokens[token]
        added = []
        for partition, frame in parts.items():
            added.append(Batch(partition, self._next[partition], frame))
            for piece in pieces(frame):
                self._batches[partition].append((Batch(partition, self._next[partition], piece), self._now_ms()))
                self._next[partition] += piece.height
        if token:
            self._tokens[token] = added
        return added

    def append_pieces(self, pieces: Sequence[Piece]) -> Offsets:
        """Adds each piece."""
        for piece in pieces:
            home = piece.partition
            if (piece.mark, home) not in self._pieces:
                batch = Batch(home, self._next[home], held_rows(piece, self.partitions), piece.mark)
                self._batches[home].append((batch, self._now_ms()))
                self._next[home] += piece.height
                self._pieces[piece.mark, home] = batch.last
        return {piece.partition: self._pieces[piece.mark, piece.partition] for piece in pieces}

    def relay(self, source: str, parts: Mapping[int, pl.DataFrame], *, since: Offsets, upto: int) -> None:
        """Adds what comes from another log."""
        at = self.relayed(source)
        for partition, frame in parts.items():
            if at[partition] >= upto:
                continue
            if at[partition] > since[partition]:
                raise overtaken(source)
            if frame.height:
                self.append_pieces([Piece(Mark(source, upto + 1), partition, 0, frame.height, frame)])
            self._relayed[source, partition] = upto

    def relayed(self, source: str) -> Offsets:
        """How far each partition has come with that other log."""
        return {partition: self._relayed.get((source, partition), -1) for partition in range(self.partitions)}

    def runs(self) -> Runs:
        """This process lives once."""
        return dict.fromkeys(range(self.partitions), "")

    def read(self, after: Offsets, *, events: int, runs: Runs | None = None) -> list[Batch]:
        """The next batches of each partition."""
        found = []
        for partition, offset in after.items():
            enough = events
            for batch, _ in self._batches[partition]:
                if batch.first > offset and enough > 0:
                    found.append(batch)
                    enough -= batch.frame.height
        return found

    def ends(self) -> Offsets:
        """The last offset of each partition that was given to an event."""
        return {partition: following - 1 for partition, following in enumerate(self._next)}

    def raise_to(self, ends: Offsets) -> None:
        """No event to come gets an offset at or before these."""
        for partition, offset in ends.items():
            self._next[partition] = max(self._next[partition], offset + 1)

    def checkpoints(self) -> Offsets:
        """The last offset of each partition whose effect is stored online."""
        return dict(enumerate(self._checkpoints))

    def advance(self, ends: Offsets, *, runs: Runs | None = None) -> None:
        """Moves the checkpoints."""
        for partition, offset in ends.items():
            self._checkpoints[partition] = max(self._checkpoints[partition], offset)

    def trim(self, ends: Offsets) -> None:
        """Drops events at or before these offsets."""
        for partition, offset in ends.items():
            self._batches[partition] = [pair for pair in self._batches[partition] if pair[0].first > offset]

    def held(self) -> Mapping[int, Held]:
        """How much each partition holds."""
        frames = [[batch.frame for batch, _ in pairs] for pairs in self._batches]
        return {
            partition: Held(sum(f.height for f in found), sum(int(f.estimated_size()) for f in found))
            for partition, found in enumerate(frames)
        }

    def waiting_since_ms(self, after: Offsets) -> Mapping[int, int | None]:
        """When the oldest batch beyond these offsets was appended."""
        return {
            partition: next((ms for batch, ms in self._batches[partition] if batch.first > offset), None)
            for partition, offset in after.items()
        }

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Puts rows aside."""
        known = {letter.place for letter in self._letters if letter.place is not None}
        fresh = [letter for letter in letters if letter.place is None or letter.place not in known]
        self._letters += [DeadLetter(letter.reason, letter.row, letter.place, str(next(self._ids))) for letter in fresh]

    def buried(self, *, most: int = 100) -> list[DeadLetter]:
        """The rows put aside, newest last."""
        return self._letters[-most:]

    def buried_count(self) -> int:
        """How many there are."""
        return len(self._letters)

    def forget(self, letters: Sequence[DeadLetter]) -> None:
        """Drops letters that were dealt with."""
        gone = {letter.id for letter in letters}
        self._letters = [letter for letter in self._letters if letter.id not in gone]

    def blank(self, where: pl.Expr) -> list[pl.DataFrame]:
        """Makes these events all null where they stand; as they were."""
        gone = []
        for pairs in self._batches:
            for place, (batch, ms) in enumerate(pairs):
                gone.append(batch.frame.filter(where))
                pairs[place] = (replace(batch, frame=blanked(batch.frame, where)), ms)
        return [frame for frame in gone if frame.height]


def blanked(frame: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """The frame with these rows all null."""
    return frame.select(pl.when(~where.fill_null(False)).then(pl.col(name)).alias(name) for name in frame.columns)
