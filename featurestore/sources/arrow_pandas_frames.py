"""Adapter: pandas frames and Arrow tables, batches and readers as Polars frames, a slice at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl
import pyarrow

from ...runtime.errors import InputError

Frames = Callable[[], Iterator[pl.DataFrame]]


def frames_of(source: object, columns: Sequence[str], *, rows: int) -> tuple[Frames, int | None]:
    """Reads these columns (as far as there are) in frames of at most so many rows; and how many rows, if known."""
    if isinstance(source, pyarrow.RecordBatchReader):
        reader = source
        return lambda: (_polars(pyarrow.Table.from_batches([batch]), columns) for batch in reader), None
    if isinstance(source, pyarrow.RecordBatch):
        source = pyarrow.Table.from_batches([source])
    if isinstance(source, pyarrow.Table):
        table = source
        return lambda: (_polars(table.slice(at, rows), columns) for at in range(0, len(table), rows)), len(table)
    import pandas

    if isinstance(source, pandas.DataFrame):
        frame = source
        return lambda: (_of_pandas(frame.iloc[at : at + rows], columns) for at in range(0, len(frame), rows)), len(
            frame
        )
    raise InputError(f"cannot ingest {type(source).__module__}.{type(source).__name__}; give its DataFrame or Table")


def _polars(table: pyarrow.Table, columns: Sequence[str]) -> pl.DataFrame:
    made = pl.from_arrow(table.select([name for name in columns if name in table.column_names]))
    assert isinstance(made, pl.DataFrame)
    return made


def _of_pandas(frame: object, columns: Sequence[str]) -> pl.DataFrame:
    import pandas

    assert isinstance(frame, pandas.DataFrame)
    chosen = {name: frame[name] for name in columns if name in frame.columns}
    for name, column in chosen.items():
        if isinstance(column.dtype, pandas.DatetimeTZDtype):
            chosen[name] = column.dt.tz_convert(None)  # UTC then, as every time without a zone is here
    try:
        made: pl.DataFrame = pl.from_pandas(pandas.DataFrame(chosen), nan_to_null=True)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        cause = str(error).splitlines()[0]
        raise InputError(f"the pandas frame mixes types: {cause}; give each column one type") from None
    return made
