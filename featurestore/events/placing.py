"""Where a key's events go: the partition of the log, and within it the bucket by which large batches are split."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..definitions.entity import Entity, frame_keys, row_key

BUCKETS = 32  # a partition
FEW_ROWS = 1000  # for so many, finding the distinct keys costs more than it saves


def places(entities: Sequence[Entity], frame: pl.DataFrame, partitions: int) -> NDArray[np.int64]:
    """The place of each row, partition * BUCKETS + bucket; entity columns hold no nulls."""
    if not frame.height:
        return np.zeros(0, dtype=np.int64)
    if frame.height <= FEW_ROWS:
        keys = frame_keys(entities, frame).cast(pl.Binary).to_list()
        codes = np.arange(frame.height)
    else:
        codes, distinct = coded(entities, frame)
        keys = frame_keys(entities, distinct).cast(pl.Binary).to_list()
    # Keys are few and rows are many, so each key is hashed once.
    sums = np.fromiter(map(zlib.crc32, keys), dtype=np.int64, count=len(keys))
    return (sums % partitions * BUCKETS + sums // partitions % BUCKETS)[codes]


def home_of(entities: Sequence[Entity], row: Mapping[str, object], partitions: int) -> int:
    """The partition of one row; its entities hold no null."""
    return zlib.crc32(row_key(entities, row, owner="a row").encode()) % partitions


def coded(entities: Sequence[Entity], frame: pl.DataFrame) -> tuple[NDArray[np.int64], pl.DataFrame]:
    """A number for each row's key, and the distinct keys in the order of their numbers."""
    names = [entity.name for entity in entities]
    distinct = frame.select(names).unique()
    numbered = distinct.with_row_index("_code")
    codes = frame.select(names).join(numbered, on=names, how="left", maintain_order="left")["_code"]
    return codes.cast(pl.Int64).to_numpy(), distinct
