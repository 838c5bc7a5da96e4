"""Adapter: rows in Ray's object store, as Ray Datasets and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import polars as pl
import pyarrow as pa
import ray
import ray.data

from ...runtime import ray_cluster
from ...runtime.settings import Settings

Dataset: TypeAlias = ray.data.Dataset


def dataset_of(frame: pl.DataFrame) -> Dataset:
    """The frame as one block; starts a Ray where there is none."""
    ray_cluster.connect(Settings.from_env())
    return ray.data.from_arrow(arrow_of(frame))


@dataclass(frozen=True)
class RayTable:
    """Blocks of rows in Ray's object store, in the order of the labels."""

    blocks: tuple[Any, ...]

    def frame(self) -> pl.DataFrame:
        """All of them in this process's memory; fetched once."""
        return self._rows

    def dataset(self) -> Dataset:
        """The blocks as they lie."""
        return ray.data.from_arrow_refs(list(self.blocks))

    @cached_property
    def _rows(self) -> pl.DataFrame:
        return pl.concat([frame_of(ray.get(block)) for block in self.blocks])


def arrow_of(frame: pl.DataFrame) -> pa.Table:
    """The frame in types that every reader of Arrow knows."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def frame_of(table: pa.Table) -> pl.DataFrame:
    """And back."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
