"""Adapter: the offline store as Delta Lake tables, in a folder or under a URI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import polars.selectors as cs
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from ...runtime.errors import StorageError
from .offline import NO_MARKS, OFFSET, PARTITION, Compacted, Marks, unknown_version, unseen, wanted

# Files stay in the order of their commits, which is nearly that of time: reads of the newest days skip the others.
# Sorted by key instead, such a read took 2.5 times as long and the reading of one key a third.
FILE_BYTES = 128 << 20
# Read in a third of zstd's time at some 1.3 times its size; a group of rows is the least that a read can skip or hold.
WRITTEN = WriterProperties(compression="LZ4_RAW", max_row_group_size=131_072)
TAIL_BYTES = 32 << 20  # what merging on the way aims at: bounds how much a stream's worker rewrites at once
MERGE_AT_FILES = 64
ATTEMPTS = 5
BROKEN_OFF_HOURS = 24
PARTITIONS = "partitions"  # the transaction that notes how many partitions have an offset


class DeltaOfflineStore:
    """One table a feature set version; a commit carries the log's offsets, so a replayed append adds nothing.

    An append that leaves `merge_at_files` small files behind merges them.
    """

    def __init__(self, root: str, *, merge_at_files: int = MERGE_AT_FILES) -> None:
        self._root = root
        self._merge_at_files = merge_at_files

    def append(
        self, table: str, frame: pl.DataFrame, *, last_offsets: Mapping[int, int], marks: Marks = NO_MARKS
    ) -> None:
        """Adds the rows that are new in one commit; raises `StorageError` and leaves the table as it was."""
        opened = self._open(table)
        known = {partition: _offset(opened, partition) for partition in last_offsets}
        fresh = frame.filter(unseen(known)) if last_offsets else frame
        news = [
            Transaction(_application(partition), offset)
            for partition, offset in sorted(last_offsets.items())
            if offset > known[partition]
        ]
        if last_offsets and not news:
            return
        news += [
            Transaction(_ingestion(mark.source, partition), mark.rows)
            for partition, found in marks.items()
            for mark in {mark.source: mark for mark in found}.values()
            if last_offsets[partition] > known[partition]
        ]
        silent = set(last_offsets) - set(fresh[PARTITION].unique().to_list())
        if silent and max(silent) >= _partitions(opened):
            news.append(Transaction(PARTITIONS, max(silent) + 1))
        with self._refused(table):
            if opened is None:
                self._prepare()
            write_deltalake(
                opened if opened is not None else self._path(table),
                # Delta knows lists alone: vectors come back as such, and whoever reads them says what they are.
                fresh.with_columns(cs.array().arr.to_list()).to_arrow(),
                mode="append",
                configuration=_configuration(fresh) if opened is None else None,
                writer_properties=WRITTEN,
                commit_properties=CommitProperties(app_transactions=news),
            )
        if opened is not None:
            self._merge_tail(opened)

    def taken(self, table: str, source: str, partition: int) -> int:
        """How many rows of this batch ingestion the partition has."""
        opened = self._open(table)
        known = None if opened is None else opened.transaction_version(_ingestion(source, partition))
        return known or 0

    def last_offset(self, table: str, partition: int) -> int:
        """The partition's last stored offset."""
        return _offset(self._open(table), partition)

    def read(
        self,
        table: str,
        columns: Sequence[str],
        *,
        from_us: tuple[str, int] | None = None,
        where: pl.Expr | None = None,
        upto: Mapping[int, int] | None = None,
    ) -> pl.DataFrame:
        """These columns of the rows; files outside the time range are skipped by their statistics."""
        for attempt in range(1, ATTEMPTS + 1):
            opened = self._open(table)
            if opened is None:
                return pl.DataFrame(schema=list(columns))
            # The whole table: reading two more columns to find that out would be a waste.
            bounded = None if upto is not None and upto == _offsets(opened) else upto
            with self._refused(table):
                try:
                    scan = pl.scan_delta(opened).filter(*wanted(from_us, where, bounded)).select(columns)
                    return scan.collect(engine="streaming")
                except (FileNotFoundError, pl.exceptions.ComputeError) as error:
                    gone = isinstance(error, FileNotFoundError) or "not found" in str(error).lower()
                    if not gone or attempt == ATTEMPTS:
                        raise
                    # An erasure has taken the file away since the table was opened.
        raise AssertionError("the last attempt returns or raises")

    def version(self, table: str) -> int:
        """The table's Delta version."""
        opened = self._open(table)
        return -1 if opened is None else opened.version()

    def offsets(self, table: str, version: int | None = None) -> dict[int, int]:
        """The last stored offset of each partition, by the transactions that commits carry."""
        if version is None:
            opened = self._open(table)
            return {} if opened is None else _offsets(opened)
        try:
            return _offsets(DeltaTable(self._path(table), version=version))
        except (DeltaError, OverflowError):
            raise unknown_version(table, version) from None

    def compact(self, table: str) -> Compacted:
        """Merges files to some 128 MiB; those they replace are removed a week later, when no reader holds them."""
        opened = self._open(table)
        if opened is None:
            return Compacted(0, 0)
        before = len(opened.file_uris())
        with self._refused(table):
            _merge(opened, FILE_BYTES)
        return Compacted(before, len(opened.file_uris()))

    def erase(self, table: str, rows: pl.DataFrame) -> int:
        """Removes the rows at these places: rewrites the files that hold them and removes the former ones at once.

        Places, not values, tell which rows: what was asked for stands in the table's log.
        """
        places = rows.select(pl.col(PARTITION).cast(pl.Int32), pl.col(OFFSET).cast(pl.Int64)).unique().to_arrow()
        same = " AND ".join(f"stored.{name} = gone.{name}" for name in (PARTITION, OFFSET))
        for attempt in range(1, ATTEMPTS + 1):
            opened = self._open(table)
            if opened is None:
                return 0
            with self._refused(table):
                merge = opened.merge(
                    places,
                    same,
                    source_alias="gone",
                    target_alias="stored",
                    writer_properties=WRITTEN,
                    # The last row of a partition may go, its offset may not.
                    commit_properties=CommitProperties(app_transactions=[Transaction(PARTITIONS, _partitions(opened))]),
                ).when_matched_delete()
                try:
                    erased = int(merge.execute()["num_target_rows_deleted"])
                except CommitFailedError:
                    if attempt == ATTEMPTS:
                        raise
                    continue  # another writer was quicker; look again
                opened.vacuum(0, dry_run=False, enforce_retention_duration=False)
                # Also what appends that broke off left behind, long enough ago that none is still going on.
                opened.vacuum(BROKEN_OFF_HOURS, dry_run=False, enforce_retention_duration=False, full=True)
                return erased
        return 0

    def _merge_tail(self, opened: DeltaTable) -> None:
        opened.update_incremental()
        sizes = opened.get_add_actions().column("size_bytes").to_pylist()
        if sum(size < TAIL_BYTES for size in sizes) < self._merge_at_files:
            return
        try:
            _merge(opened, TAIL_BYTES)
        except CommitFailedError:
            return  # another worker merges, or an erasure goes on: the next append looks again

    def _open(self, table: str) -> DeltaTable | None:
        try:
            with self._refused(table):
                return DeltaTable(self._path(table))
        except TableNotFoundError:
            return None

    def _path(self, table: str) -> str:
        return f"{self._root.rstrip('/')}/{table}"

    def _prepare(self) -> None:
        if "://" not in self._root:
            Path(self._root).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _refused(self, table: str) -> Iterator[None]:
        try:
            yield
        except TableNotFoundError:
            raise
        except (DeltaError, OSError, pl.exceptions.ComputeError) as error:
            cause = str(error).splitlines()[0][:200]
            cure = "free disk space" if "No space left" in str(error) else "check the folder's rights and the address"
            raise StorageError(f"the offline table {self._path(table)} refused: {cause}; {cure}, then retry") from error


def _merge(opened: DeltaTable, file_bytes: int) -> None:
    opened.optimize.compact(target_size=file_bytes, writer_properties=WRITTEN)
    opened.vacuum(dry_run=False)  # what was replaced more than a week ago


def _application(partition: int) -> str:
    return f"{PARTITION}-{partition}"


def _configuration(frame: pl.DataFrame) -> dict[str, str | None]:
    # Statistics stand in the table's log, which outlives an erased row: none of keys and values, then.
    dated = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return {"delta.dataSkippingStatsColumns": ",".join([*dated, PARTITION, OFFSET])}


def _partitions(opened: DeltaTable | None) -> int:
    """How many there are by the files' statistics, or by a note where a partition has no row (any more)."""
    if opened is None:
        return 0
    files = opened.get_add_actions(flatten=True)
    last = pl.Series(files.column(f"max.{PARTITION}")).max() if f"max.{PARTITION}" in files.schema.names else None
    return max(last + 1 if isinstance(last, int) else 0, opened.transaction_version(PARTITIONS) or 0)


def _offsets(opened: DeltaTable) -> dict[int, int]:
    known = {partition: _offset(opened, partition) for partition in range(_partitions(opened))}
    return {partition: offset for partition, offset in known.items() if offset >= 0}


def _offset(opened: DeltaTable | None, partition: int) -> int:
    known = None if opened is None else opened.transaction_version(_application(partition))
    return -1 if known is None else known


def _ingestion(source: str, partition: int) -> str:
    return f"ingestion-{source}-{partition}"
