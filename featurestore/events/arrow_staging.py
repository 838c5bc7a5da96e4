"""Rows of one batch ingestion on disk: written in runs as they are read, handed out by partition.

Each run is one Arrow file, sorted by (partition, bucket of keys), so writing is sequential and a slice is found
without reading the rest. Among a partition's rows all of a bucket stand together, in the order of the source: a key's
events come in one piece (unless there are very many), and their order depends neither on the size of the runs nor on
who wrote them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow
from numpy.typing import NDArray

from ...runtime.errors import StorageError
from .placing import BUCKETS

Counts = NDArray[np.int64]  # rows by (run, partition, bucket)
Letter = tuple[str, str]  # the reason, and the row as JSON
LETTERS_KEPT = 10_000
_SEAL = "sealed.json"


class Staging:
    """The folder of one ingestion: runs are added in any order, then it is sealed and only read."""

    def __init__(self, folder: Path, *, partitions: int) -> None:
        self.folder = folder
        self._partitions = partitions

    @property
    def is_sealed(self) -> bool:
        """True once every run is written."""
        return (self.folder / _SEAL).exists()

    def has(self, run: int) -> bool:
        """True when this run is written: an earlier attempt came so far."""
        return (self.folder / f"{run:012}.json").exists()

    def add(self, run: int, frame: pl.DataFrame, places: NDArray[np.int64], letters: Sequence[Letter]) -> None:
        """Writes one run: rows in the order of the source, each with its place (see `placing`); all or nothing."""
        order = np.argsort(places.astype(np.uint16), kind="stable")
        counts = np.bincount(places, minlength=self._partitions * BUCKETS)
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / f"{run:012}.arrow"
        table = frame[order].rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
        try:
            with pyarrow.ipc.new_file(str(data), table.schema) as writer:
                writer.write_table(table, max_chunksize=max(1, len(table)))
        except OSError as error:
            raise _refused(self.folder, error) from error
        told = {"counts": counts.tolist(), "letters": list(letters)[-LETTERS_KEPT:]}
        _written(self.folder / f"{run:012}.json", told)

    def seal(self, runs: Sequence[int]) -> None:
        """Declares these runs to be all, and this to be their order."""
        counts = [json.loads((self.folder / f"{run:012}.json").read_text())["counts"] for run in runs]
        self.folder.mkdir(parents=True, exist_ok=True)
        _written(self.folder / _SEAL, {"runs": list(runs), "counts": counts})

    def letters(self) -> list[Letter]:
        """The rows that were put aside, of all runs; the last ten thousand."""
        runs, _ = _sealed(str(self.folder), self._partitions)
        told = [json.loads((self.folder / f"{run:012}.json").read_text()) for run in runs]
        return [(reason, row) for one in told for reason, row in one["letters"]][-LETTERS_KEPT:]

    def rows(self) -> list[int]:
        """How many rows each partition has."""
        _, counts = _sealed(str(self.folder), self._partitions)
        return [int(n) for n in counts.sum(axis=(0, 2))]

    def pieces(self, partition: int, *, most: int) -> list[tuple[int, int]]:
        """The partition's rows as (first, count): whole buckets together up to `most` rows, larger buckets cut."""
        _, counts = _sealed(str(self.folder), self._partitions)
        sizes = counts[:, partition].sum(axis=0)
        made: list[tuple[int, int]] = []
        first = count = 0
        for size in sizes.tolist():
            if count and count + size > most:
                made.append((first, count))
                first, count = first + count, 0
            count += size
            while count > most:
                made.append((first, most))
                first, count = first + most, count - most
        return [*made, (first, count)] if count else made

    def remove(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def staged_rows(folder: str, partition: int, *, partitions: int, first: int, count: int) -> pl.DataFrame:
    """`count` of a partition's rows after the `first`; raises `StorageError` when the folder is gone."""
    numbers, counts = _sealed(folder, partitions)
    runs = len(numbers)
    ends = np.cumsum(counts[:, partition].T.ravel())  # bucket by bucket, in each run by run
    inside = np.cumsum(counts.reshape(runs, -1), axis=1)  # where places end in each run's file
    slices: list[pyarrow.RecordBatch] = []
    opened: dict[int, pyarrow.RecordBatch] = {}
    begin, stop = int(np.searchsorted(ends, first, side="right")), first + count
    for spot in range(begin, len(ends)):
        bucket, run = divmod(spot, runs)
        size = int(counts[run, partition, bucket])
        start = int(ends[spot]) - size
        if start >= stop:
            break
        if not size:
            continue
        low, high = max(start, first), min(start + size, stop)
        if run not in opened:
            opened[run] = _run(folder, numbers[run])
        place = partition * BUCKETS + bucket
        at = int(inside[run, place]) - size + low - start
        slices.append(opened[run].slice(at, high - low))
    made = pl.from_arrow(pyarrow.Table.from_batches(slices))
    assert isinstance(made, pl.DataFrame)
    return made.rechunk()


def _run(folder: str, run: int) -> pyarrow.RecordBatch:
    try:
        return pyarrow.ipc.open_file(pyarrow.memory_map(f"{folder}/{run:012}.arrow")).get_batch(0)
    except OSError as error:
        raise _gone(folder) from error


@lru_cache(maxsize=64)
def _sealed(folder: str, partitions: int) -> tuple[tuple[int, ...], Counts]:
    """The runs in their order, and how many rows of each place they have."""
    try:
        told = json.loads((Path(folder) / _SEAL).read_text())
    except OSError as error:
        raise _gone(folder) from error
    runs = tuple(told["runs"])
    return runs, np.array(told["counts"], dtype=np.int64).reshape(len(runs), partitions, BUCKETS)


def _written(path: Path, told: object) -> None:
    # A name that appears in one step: whoever sees the file sees all of it.
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(told))
        os.replace(part, path)
    except OSError as error:
        raise _refused(path.parent, error) from error


def _refused(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot stage rows in {folder}: {error.strerror}; free disk space or set EAGLERAY_HOME to another"
    )


def _gone(folder: str) -> StorageError:
    return StorageError(
        f"the staged rows of an ingestion are gone from {folder}; run that ingestion again from the same source"
    )
