"""The offline store: one append-only table a feature set version. A port and its in-memory form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from ...runtime.errors import PinNotFound
from ..events.log import Mark

Marks = Mapping[int, Sequence[Mark]]
NO_MARKS: Marks = {}
PARTITION, OFFSET, APPLIED = "_partition", "_offset", "_applied_ts"


@dataclass(frozen=True, slots=True)
class Compacted:
    """What merging a table's files did."""

    files_before: int
    files_after: int


class OfflineStore(Protocol):
    """Every event with where it stood in the log and when it took effect (`_partition`, `_offset`, `_applied_ts`)."""

    def append(
        self, table: str, frame: pl.DataFrame, *, last_offsets: Mapping[int, int], marks: Marks = NO_MARKS
    ) -> None:
        """Adds the rows, all or none; rows at or before a partition's last stored offset are there already.

        Without `last_offsets` they are added as they are. `marks` by partition are kept with them, for `taken`.
        """

    def taken(self, table: str, source: str, partition: int) -> int:
        """How many rows of this batch ingestion the partition has, by its marks."""

    def last_offset(self, table: str, partition: int) -> int:
        """The partition's last stored offset, -1 for none."""

    def read(
        self,
        table: str,
        columns: Sequence[str],
        *,
        from_us: tuple[str, int] | None = None,
        where: pl.Expr | None = None,
        upto: Mapping[int, int] | None = None,
    ) -> pl.DataFrame:
        """These columns of the rows; `from_us` names the time column and the oldest moment wanted.

        `upto` gives the last offset wanted of each partition, and none of a partition it does not name.
        """

    def version(self, table: str) -> int:
        """The table's version, to pin a training set by; -1 when there is no table."""

    def offsets(self, table: str, version: int | None = None) -> dict[int, int]:
        """The last stored offset of each partition, now or at a version; raises `PinNotFound`.

        As nothing is ever stored below them, they say which rows a version held, however it was compacted since.
        """

    def compact(self, table: str) -> Compacted:
        """Merges the small files that many commits leave; rows and offsets stay as they are."""

    def erase(self, table: str, rows: pl.DataFrame) -> int:
        """Removes the rows at these places (`_partition`, `_offset`) for good, from every version; how many there were.

        Offsets stay as they are, so nothing brings the rows back.
        """


class MemoryOfflineStore:
    """The same contract in one process's memory."""

    def __init__(self) -> None:
        self._tables: dict[str, list[pl.DataFrame]] = {}
        self._versions: dict[str, list[dict[int, int]]] = {}
        self._taken: dict[tuple[str, str, int], int] = {}

    def append(
        self, table: str, frame: pl.DataFrame, *, last_offsets: Mapping[int, int], marks: Marks = NO_MARKS
    ) -> None:
        """Adds the rows that are new."""
        known = {partition: self.last_offset(table, partition) for partition in last_offsets}
        news = {partition: offset for partition, offset in last_offsets.items() if offset > known[partition]}
        if last_offsets and not news:
            return
        self._tables.setdefault(table, []).append(frame.filter(unseen(known)) if last_offsets else frame)
        self._versions.setdefault(table, []).append(self.offsets(table) | news)
        for partition in news:
            for mark in marks.get(partition, ()):
                self._taken[table, mark.source, partition] = mark.rows

    def taken(self, table: str, source: str, partition: int) -> int:
        """How many rows of this batch ingestion the partition has."""
        return self._taken.get((table, source, partition), 0)

    def last_offset(self, table: str, partition: int) -> int:
        """The partition's last stored offset."""
        return self.offsets(table).get(partition, -1)

    def read(
        self,
        table: str,
        columns: Sequence[str],
        *,
        from_us: tuple[str, int] | None = None,
        where: pl.Expr | None = None,
        upto: Mapping[int, int] | None = None,
    ) -> pl.DataFrame:
        """These columns of the rows."""
        parts = self._tables.get(table, [])
        if not parts:
            return pl.DataFrame(schema=list(columns))
        return pl.concat(parts).filter(*wanted(from_us, where, upto)).select(columns)

    def version(self, table: str) -> int:
        """The number of appends and compactions less one."""
        return len(self._versions.get(table, [])) - 1

    def offsets(self, table: str, version: int | None = None) -> dict[int, int]:
        """The last stored offset of each partition, now or at a version."""
        versions = self._versions.get(table, [])
        if version is None:
            return dict(versions[-1]) if versions else {}
        if not 0 <= version < len(versions):
            raise unknown_version(table, version)
        return dict(versions[version])

    def compact(self, table: str) -> Compacted:
        """Merges the appended frames; a version of its own, as in a real table."""
        parts = self._tables.get(table, [])
        if len(parts) > 1:
            self._tables[table] = [pl.concat(parts)]
            self._versions[table].append(self.offsets(table))
        return Compacted(len(parts), min(len(parts), 1))

    def erase(self, table: str, rows: pl.DataFrame) -> int:
        """Removes the rows at these places."""
        parts = self._tables.get(table, [])
        kept = [part.join(rows, on=[PARTITION, OFFSET], how="anti") for part in parts]
        self._tables[table] = kept
        return sum(part.height for part in parts) - sum(part.height for part in kept)


def unseen(known: Mapping[int, int]) -> pl.Expr:
    """Rows beyond the last stored offset of their partition."""
    last = pl.col(PARTITION).replace_strict(dict(known), default=-1, return_dtype=pl.Int64)
    return pl.col(OFFSET) > last


def wanted(
    from_us: tuple[str, int] | None, where: pl.Expr | None, upto: Mapping[int, int] | None = None
) -> list[pl.Expr]:
    """The filters of a read."""
    filters = [] if where is None else [where]
    if from_us is not None:
        column, moment = from_us
        filters.append(pl.col(column) >= pl.lit(moment).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    if upto is not None:
        filters.append(~unseen(upto))
    return filters


def unknown_version(table: str, version: int) -> PinNotFound:
    """The error of a pin that nothing is known of."""
    return PinNotFound(
        f"version {version} of the offline table {table} is unknown, or older than its log reaches; "
        "build the training set anew, without pins"
    )
