"""Sources of a batch ingestion: whatever holds rows, read as frames of the set's input columns, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union, cast

import polars as pl

from ...runtime.errors import InputError
from ..definitions.schema import conform
from .files import FILE_KINDS, SourceFile, file_frames, found_files, identity_of

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from .ray_dataset import Dataset

CHUNK_ROWS = 250_000  # what is in hand at once while a source is read

Rows: TypeAlias = pl.DataFrame | Sequence[Mapping[str, object]]
Batchable: TypeAlias = Union[
    Rows,
    pl.LazyFrame,
    str,
    Path,
    "pandas.DataFrame",
    "pyarrow.Table",
    "pyarrow.RecordBatch",
    "pyarrow.RecordBatchReader",
    "Dataset",
]


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to ingest: `chunks` gives them as typed frames of `CHUNK_ROWS` rows (the last one has the rest).

    `identity` tells it from any other source before it is read, None when only its content can; `rows` is None while
    unknown. `parts` are the same rows as several sources, one after the other, where that is known beforehand.
    """

    name: str
    chunks: Callable[[], Iterator[pl.DataFrame]]
    identity: str | None = None
    rows: int | None = None
    parts: tuple[Source, ...] = ()
    bytes: int = 0  # of files on this machine


def open_source(source: Batchable, schema: Mapping[str, str], *, owner: str) -> Source:
    """Looks at a source without reading it: its kind, and for files which they are.

    Raises `InputError` for what is no source, and for files that are not there. Reading raises `InputError` that names
    file, column and, in text files, the row of what does not fit. Columns that the schema does not name are left out.
    """
    if isinstance(source, str | Path):
        files = found_files(str(source))
        size = sum(file.bytes for file in files)
        parts = tuple(Source(file.path, partial(_of_files, [file], schema, owner)) for file in files)
        return Source(str(source), partial(_of_files, files, schema, owner), identity_of(files), None, parts, size)
    library = type(source).__module__.partition(".")[0]
    frames: Callable[[], Iterable[pl.DataFrame]]
    rows: int | None = None
    if isinstance(source, pl.DataFrame):
        frames, rows = (lambda: source.iter_slices(CHUNK_ROWS)), source.height
    elif isinstance(source, pl.LazyFrame):
        frames = lambda: _lazy(source, schema, owner=owner)  # noqa: E731
    elif library in ("pandas", "pyarrow"):
        from .arrow_pandas_frames import frames_of

        frames, rows = frames_of(source, list(schema), rows=CHUNK_ROWS)
    elif library == "ray":
        from .ray_dataset import dataset_frames

        frames = lambda: dataset_frames(source, list(schema), rows=CHUNK_ROWS)  # noqa: E731
    elif isinstance(source, Sequence) and all(isinstance(row, Mapping) for row in source):
        listed = cast("Sequence[Mapping[str, object]]", source)
        # The types are those of all rows together, so they are looked at together.
        frames, rows = (lambda: conform(listed, schema, owner=owner).iter_slices(CHUNK_ROWS)), len(listed)
    else:
        raise InputError(
            f"{owner}: cannot ingest {type(source).__name__}; give a Polars, pandas or Arrow frame, a Ray Dataset, "
            f"a list of dicts, or a path to {', '.join(FILE_KINDS)} files or a Delta table"
        )
    typed = lambda: _even(conform(frame, schema, owner=owner) for frame in frames())  # noqa: E731
    return Source(type(source).__name__, typed, None, rows)


def _of_files(files: Sequence[SourceFile], schema: Mapping[str, str], owner: str) -> Iterator[pl.DataFrame]:
    return _even(file_frames(files, schema, owner=owner))


def _lazy(frame: pl.LazyFrame, schema: Mapping[str, str], *, owner: str) -> Iterator[pl.DataFrame]:
    try:
        known = frame.collect_schema()
        wanted = [name for name in schema if name in known]
        yield from frame.select(wanted).collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{owner}: cannot read the LazyFrame: {str(error).splitlines()[0]}") from None


def _even(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of `CHUNK_ROWS`: how a source is cut must not show in what is stored."""
    held: list[pl.DataFrame] = []
    rows = 0
    for frame in frames:
        held.append(frame)
        rows += frame.height
        if rows < CHUNK_ROWS:
            continue
        whole = pl.concat(held)
        full = rows // CHUNK_ROWS * CHUNK_ROWS
        yield from whole.head(full).iter_slices(CHUNK_ROWS)
        held, rows = [whole.tail(rows - full)], rows - full
    if rows:
        yield pl.concat(held)
