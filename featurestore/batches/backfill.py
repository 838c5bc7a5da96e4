"""A batch ingestion: read and staged first, then handed to the log a piece at a time.

Nothing counts before the whole source is read and fits. Then its rows go the way of every event: they have places
between those of a stream, whoever is the set's worker takes them to both stores, and a crash at any point is mended by
the next worker. The log takes each piece of an ingestion once, so running it again goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from ...runtime.errors import InputError
from ...runtime.progress import counter
from ..definitions.feature_set import FeatureSet
from ..events.arrow_staging import Staging
from ..events.log import BYTES_A_BATCH, DeadLetter, Mark, Piece
from ..events.placing import BUCKETS, places
from ..sources.sources import Source
from ..streams.ingest import Accepted, accept
from ..streams.settling import Settler
from ..streams.worker import Stores
from .file_lock import file_lock
from .fingerprint import Fingerprint
from .ledger import Ledger

PIECE_ROWS = 125_000  # a partition: what a worker holds at once
INLINE_ROWS = 10_000  # fewer are not worth a file


@dataclass(frozen=True, slots=True)
class Ingestion:
    """One batch on its way into one feature set version; `folder` is where this set's batches are staged."""

    feature_set: FeatureSet
    source: Source
    folder: Path
    now_us: int
    until_us: int | None = None
    ingest_id: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a batch goes: the stores and the table of one feature set version, and the ledger of what is done."""

    stores: Stores
    table: str
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class _Read:
    """What reading a source left: its id, and the rows of each partition, in memory or staged."""

    name: str
    pieces: dict[int, list[Piece]]
    letters: Sequence[DeadLetter]


class Crew(Protocol):
    """Others who take part in an ingestion: they read the parts of a source, and work events through as streams do."""

    def stage(self, job: Ingestion, staging: Staging) -> list[int]:
        """Reads all parts of the source into runs of the staging folder; their numbers in the order of the rows."""

    def working(self) -> AbstractContextManager[None]:
        """It works events through for the length of the block."""


def ingest(job: Ingestion, *, into: Target, settler: Settler, crew: Crew | None = None) -> int:
    """Stores the batch offline and online; how many rows were new (those of an ingestion that is done are not).

    With a `crew` the source's parts are read by it, and what it is to work through is all there from the start.
    """
    known = _known_id(job)
    _sweep(job, into, settler, keep=known)
    if known is not None and into.ledger.is_done(known):
        return 0
    name = known or f"part-{secrets.token_hex(8)}"
    with file_lock(job.folder / f"{name}.lock"):
        partitions = into.stores.log.partitions
        staging = Staging(job.folder / (name if crew is None else f"{name}-crew"), partitions=partitions)
        if crew is not None and job.source.parts and not staging.is_sealed:
            staging.seal(crew.stage(job, staging))
        read = _read(job, name, staging, partitions)
        rows = 0
        if not into.ledger.is_done(read.name):
            with contextlib.nullcontext() if crew is None else crew.working():
                rows = _store(job, read, into, settler, ahead=crew is not None)
        staging.remove()
    return rows


def _store(job: Ingestion, read: _Read, into: Target, settler: Settler, *, ahead: bool) -> int:
    # All that an attempt before this one has put into the log is stored by now, and marked.
    taken = {p: into.stores.offline.taken(into.table, read.name, p) for p in read.pieces}
    waiting = [[piece for piece in pieces if piece.mark.rows > taken[p]] for p, pieces in read.pieces.items()]
    log, ends, turns = into.stores.log, dict[int, int](), list(itertools.zip_longest(*waiting))
    total = sum(piece.height for pieces in waiting for piece in pieces)
    with counter(f"store {job.feature_set.name}", total=total) as advance:
        added = (([p for p in turn if p], log.append_pieces([p for p in turn if p])) for turn in turns)
        for pieces, reached in list(added) if ahead else added:
            ends |= reached
            settler.reach(reached)
            advance(sum(piece.height for piece in pieces))
        settler.settle(ends)
    log.bury(read.letters)
    into.ledger.note(read.name, source=job.source.name, rows=sum(p.height for ps in read.pieces.values() for p in ps))
    return total


def _sweep(job: Ingestion, into: Target, settler: Settler, *, keep: str | None) -> None:
    """Waits until the log is stored, and removes what ingestions that died have staged: nothing points at it then."""
    with contextlib.ExitStack() as locks:
        dead = []
        for folder in job.folder.iterdir() if job.folder.is_dir() else ():
            owner = folder.name.removesuffix("-crew")
            if not folder.is_dir() or owner == keep:
                continue
            if locks.enter_context(file_lock(job.folder / f"{owner}.lock", wait=False)):
                dead.append(Staging(folder, partitions=into.stores.log.partitions))
        settler.settle(into.stores.log.ends())
        for staging in dead:
            staging.remove()


def stage(job: Ingestion, part: Source, staging: Staging, *, partitions: int, first: int) -> list[int]:
    """Reads one part of a source into runs numbered from `first`; those that are there already stay."""
    runs = []
    for run, chunk in enumerate(part.chunks(), first):
        if not staging.has(run):
            accepted = accept(job.feature_set, _before(chunk, job), now_us=job.now_us)
            _stage(staging, run, accepted, job, partitions)
        runs.append(run)
    return runs


def _read(job: Ingestion, name: str, staging: Staging, partitions: int) -> _Read:
    """Reads and checks the whole source."""
    if staging.is_sealed:
        return _staged(staging, name, partitions)
    fingerprint = Fingerprint() if job.source.identity is None and job.ingest_id is None else None
    runs = 0
    held: Accepted | None = None
    with counter(f"read {job.source.name}", total=job.source.rows) as advance:
        for chunk in job.source.chunks():
            if fingerprint is not None:
                fingerprint.add(chunk)
            if held is not None:
                _stage(staging, runs - 1, held, job, partitions)
                held = None
            if not staging.has(runs):
                held = accept(job.feature_set, _before(chunk, job), now_us=job.now_us)
            runs += 1
            advance(chunk.height)
    if fingerprint is not None:
        name = _id_of("content", fingerprint.hexdigest(), job)
    if runs == 0:
        return _Read(name, {}, ())
    if runs == 1 and held is not None and _is_small(held.frame):
        return _Read(name, _inline(job, held.frame, name, partitions), held.letters)
    if held is not None:
        _stage(staging, runs - 1, held, job, partitions)
    staging.seal(range(runs))
    return _staged(staging, name, partitions)


def _stage(staging: Staging, run: int, accepted: Accepted, job: Ingestion, partitions: int) -> None:
    where = places(job.feature_set.entities, accepted.frame, partitions)
    staging.add(run, accepted.frame, where, [(letter.reason, letter.row) for letter in accepted.letters])


def _staged(staging: Staging, name: str, partitions: int) -> _Read:
    held = str(staging.folder)
    pieces = {
        partition: [
            Piece(Mark(name, first + rows), partition, first, rows, held)
            for first, rows in staging.pieces(partition, most=PIECE_ROWS)
        ]
        for partition in range(partitions)
    }
    return _Read(name, pieces, [DeadLetter(reason, row) for reason, row in staging.letters()])


def _inline(job: Ingestion, frame: pl.DataFrame, name: str, partitions: int) -> dict[int, list[Piece]]:
    """The rows in the very order in which they would be staged."""
    where = places(job.feature_set.entities, frame, partitions)
    order = np.argsort(where, kind="stable")
    homes = where[order] // BUCKETS
    made = {}
    for partition in np.unique(homes).tolist():
        part = frame[order[homes == partition]]
        made[partition] = [Piece(Mark(name, part.height), partition, 0, part.height, part)]
    return made


def _is_small(frame: pl.DataFrame) -> bool:
    return frame.height <= INLINE_ROWS and frame.estimated_size() <= BYTES_A_BATCH


def _before(chunk: pl.DataFrame, job: Ingestion) -> pl.DataFrame:
    if job.until_us is None:
        return chunk
    cut = pl.lit(job.until_us).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return chunk.filter((pl.col(job.feature_set.timestamp) < cut).fill_null(True))


def _known_id(job: Ingestion) -> str | None:
    if job.ingest_id is not None:
        return _id_of("given", job.ingest_id, job)
    return None if job.source.identity is None else _id_of("files", job.source.identity, job)


def _id_of(kind: str, told: str, job: Ingestion) -> str:
    return hashlib.blake2b(f"{kind}:{told}:{job.until_us}".encode(), digest_size=16).hexdigest()


def moment_us(moment: datetime | str | None) -> int | None:
    """A moment in microseconds, from a datetime (naive ones are UTC) or ISO text; raises `InputError`."""
    if moment is None:
        return None
    try:
        parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        told = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        return (told - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except (TypeError, ValueError, AttributeError):
        raise InputError(f"until={moment!r} is no moment; give a datetime or text like 2026-01-31T12:00:00Z") from None
