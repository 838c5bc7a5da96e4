"""What people hand over as a table, and how much of it is searched over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import polars as pl
from polars.exceptions import PolarsError

from ...runtime.errors import InputError
from ...runtime.psutil_processes import available_bytes
from ...runtime.units import duration_us
from ..calls.frames import arrow, kind_of
from ..training.blocks import Blocks, of_frame, of_lazy
from ..training.sample import COPIES, Plan, Taken, take

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from .ray_table_input import Dataset

_SHARE = 0.5  # of the free memory: the workers need some, too


@runtime_checkable
class Joined(Protocol):
    """What gives a Polars frame, like a feature store's training set."""

    def to_polars(self) -> pl.DataFrame:
        """All rows."""
        ...


Tabular: TypeAlias = (
    "pl.DataFrame | pl.LazyFrame | pandas.DataFrame | pyarrow.Table | Dataset | Joined | str | Path | "
    "Sequence[Mapping[str, object]] | Mapping[str, Sequence[object]]"
)


def opened(table: Tabular) -> pl.DataFrame | Blocks:
    """A frame for what is in memory, blocks for what may not fit there; raises `InputError` for what is no table.

    Polars, pandas and Arrow frames, lists of rows and dicts of columns, a training set; lazy frames, Ray Datasets, and
    the path of a Parquet file, a folder or a glob of them.
    """
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, str | Path):
        try:
            return of_lazy(pl.scan_parquet(table), f"Parquet at {table}")
        except (PolarsError, OSError) as problem:
            raise InputError(f"cannot read {str(table)!r} as Parquet: {str(problem).splitlines()[0]}") from None
    if isinstance(table, pl.LazyFrame):
        return of_lazy(table, "a lazy frame")
    if any(kind.__module__.startswith("ray.data") for kind in type(table).__mro__):
        from .ray_table_input import of_dataset

        return of_dataset(table)  # type: ignore[arg-type]
    if isinstance(table, Joined):
        return table.to_polars()
    return _of_memory(table)


def taken(source: pl.DataFrame | Blocks, plan: Plan) -> Taken:
    """The rows to search over; see `sample.take`. A frame that fits the plan's bytes is taken as it is."""
    if isinstance(source, Blocks):
        return take(source, plan)
    if COPIES * source.estimated_size() <= plan.memory_bytes:
        return Taken(source, source.height)
    return take(of_frame(source), plan)


def check_label_window(table: object, *, time_column: str | None, gap: str | timedelta) -> None:
    """Raises `InputError` for a training set whose label looks further ahead (`label_after`) than the gap before the
    rows that judge: the labels that teach would reach into their time."""
    after = getattr(table, "label_after", None)
    if not isinstance(after, str) or time_column is None:
        return
    if not gap or duration_us(gap) < duration_us(after):
        raise InputError(
            f"the label is known {after} after its row, so the last labels to learn from reach into the time that "
            f"judges: give options.validation_gap={after!r}"
        )


def bound_bytes(asked: int | None) -> int:
    """The bytes that a search may take here: as asked, or half of the memory that is free now."""
    if asked is None:
        return int(_SHARE * available_bytes())
    if asked < 1:
        raise InputError(f"options.memory_bytes is {asked}: give the bytes that the search may take")
    return asked


def _of_memory(table: object) -> pl.DataFrame:
    if kind_of(type(table)) == "pandas.DataFrame":
        columns = [str(name) for name in table.columns]  # type: ignore[attr-defined]
        twice = (
            sorted({name for name in columns if columns.count(name) > 1}) if len(set(columns)) < len(columns) else []
        )
        if twice:
            raise InputError(f"the frame has several columns {', '.join(map(repr, twice[:5]))}: rename or drop some")
    try:
        made = pl.from_arrow(arrow(table))
    except (TypeError, ValueError) as problem:  # pyarrow's errors are among them
        if type(problem) is not ValueError:
            raise InputError(f"the table mixes types: {str(problem).splitlines()[0]}; give each column one") from None
        what = f"{type(table).__module__}.{type(table).__qualname__}"
        raise InputError(
            f"cannot train on {what}: give a Polars, pandas or Arrow frame, a Ray Dataset, or the path of Parquet files"
        ) from None
    assert isinstance(made, pl.DataFrame)
    return made
