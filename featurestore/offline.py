"""The offline store: one append-only table a feature set version. A port and its in-memory form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import polars as pl

PARTITION, OFFSET, APPLIED = "_partition", "_offset", "_applied_ts"


class OfflineStore(Protocol):
    """Every event with where it stood in the log and when it took effect (`_partition`, `_offset`, `_applied_ts`)."""

    def append(self, table: str, frame: pl.DataFrame, *, last_offsets: Mapping[int, int]) -> None:
        """Adds the rows, all or none; rows at or before a partition's last stored offset are there already."""

    def last_offset(self, table: str, partition: int) -> int:
        """The partition's last stored offset, -1 for none."""

    def read(
        self,
        table: str,
        columns: Sequence[str],
        *,
        from_us: tuple[str, int] | None = None,
        where: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """These columns of the rows; `from_us` names the time column and the oldest moment wanted."""

    def version(self, table: str) -> int:
        """The table's version, to pin a training set by; -1 when there is no table."""


class MemoryOfflineStore:
    """The same contract in one process's memory."""

    def __init__(self) -> None:
        self._tables: dict[str, list[pl.DataFrame]] = {}
        self._offsets: dict[tuple[str, int], int] = {}

    def append(self, table: str, frame: pl.DataFrame, *, last_offsets: Mapping[int, int]) -> None:
        """Adds the rows that are new."""
        known = {partition: self.last_offset(table, partition) for partition in last_offsets}
        fresh = frame.filter(unseen(known))
        if fresh.height:
            self._tables.setdefault(table, []).append(fresh)
        for partition, offset in last_offsets.items():
            self._offsets[table, partition] = max(known[partition], offset)

    def last_offset(self, table: str, partition: int) -> int:
        """The partition's last stored offset."""
        return self._offsets.get((table, partition), -1)

    def read(
        self,
        table: str,
        columns: Sequence[str],
        *,
        from_us: tuple[str, int] | None = None,
        where: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """These columns of the rows."""
        parts = self._tables.get(table, [])
        if not parts:
            return pl.DataFrame(schema=list(columns))
        return pl.concat(parts).filter(*wanted(from_us, where)).select(columns)

    def version(self, table: str) -> int:
        """The number of appends less one."""
        return len(self._tables.get(table, [])) - 1


def unseen(known: Mapping[int, int]) -> pl.Expr:
    """Rows beyond the last stored offset of their partition."""
    last = pl.col(PARTITION).replace_strict(dict(known), default=-1, return_dtype=pl.Int64)
    return pl.col(OFFSET) > last


def wanted(from_us: tuple[str, int] | None, where: pl.Expr | None) -> list[pl.Expr]:
    """The filters of a read."""
    filters = [] if where is None else [where]
    if from_us is not None:
        column, moment = from_us
        filters.append(pl.col(column) >= pl.lit(moment).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    return filters
