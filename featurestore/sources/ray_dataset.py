"""Adapter: a Ray Dataset as Polars frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import ray.data

from ...runtime.errors import InputError

Dataset = ray.data.Dataset


def dataset_frames(source: object, columns: Sequence[str], *, rows: int) -> Iterator[pl.DataFrame]:
    """The dataset's rows in their order, a batch at a time; other columns stay behind."""
    if not isinstance(source, Dataset):
        raise InputError(f"cannot ingest {type(source).__name__}; give a ray.data.Dataset")
    known = source.columns() or []
    chosen = source.select_columns([name for name in columns if name in known])
    # Blocks finish in any order; a source that is read again must give its rows in the same one.
    chosen.context.execution_options.preserve_order = True
    for batch in chosen.iter_batches(batch_size=rows, batch_format="pyarrow"):
        made = pl.from_arrow(batch)
        assert isinstance(made, pl.DataFrame)
        yield made
