"""Adapter: a Ray Dataset as blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import polars as pl
import ray.data

from ..training.blocks import BLOCK_ROWS, Blocks

Dataset: TypeAlias = ray.data.Dataset


def of_dataset(source: Dataset) -> Blocks:
    """The dataset's rows in their order; it is computed once, Ray keeps its blocks in memory or on disk."""
    source.context.execution_options.preserve_order = True  # else blocks come in any order
    whole = source.materialize()

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        chosen = whole.select_columns(list(columns))
        chosen.context.execution_options.preserve_order = True
        for batch in chosen.iter_batches(batch_size=BLOCK_ROWS, batch_format="pyarrow"):
            made = pl.from_arrow(batch)
            assert isinstance(made, pl.DataFrame)
            yield made

    return Blocks(tuple(whole.columns() or ()), read, "a Ray Dataset")
