"""A table that is read a block of rows at a time, as often as it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

BLOCK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Blocks:
    """`read(columns)` gives the rows in their order, each time anew, with these columns only; `what` says of what."""

    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[pl.DataFrame]]
    what: str


def of_frame(table: pl.DataFrame) -> Blocks:
    """Slices of a frame that is in memory."""

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        return table.select(columns).iter_slices(BLOCK_ROWS)

    return Blocks(tuple(table.columns), read, "a frame")


def of_lazy(table: pl.LazyFrame, what: str) -> Blocks:
    """What a lazy frame comes to, by Polars' streaming engine."""

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        return iter(table.select(columns).collect_batches(chunk_size=BLOCK_ROWS, lazy=True))

    return Blocks(tuple(table.collect_schema().names()), read, what)
