"""An append-only log of Arrow record batches on disk, bounded in rows; what was appended survives a crash.

The folder holds numbered Arrow IPC streams. A stream cut short by a crash is read up to its last whole batch;
a new process starts a new stream.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

SEGMENTS = 4
SUFFIX = ".arrows"


class Journal:
    """Keeps at least the newest `capacity` rows, and at most half as many again and a batch.

    Methods raise `OSError` when the disk refuses.
    """

    def __init__(self, folder: Path, *, capacity: int) -> None:
        self._folder = folder
        self._capacity = capacity
        self._counts: dict[Path, int] = {}
        self._segment_rows = max(capacity // SEGMENTS, 1)
        self._writer: Any = None
        self._file: Any = None
        self._schema: pa.Schema | None = None
        self._rows = 0
        self._close: Callable[[], object] = lambda: None

    def append(self, batch: pa.RecordBatch) -> None:
        """Adds a batch; it has left this process when the call returns."""
        if self._writer is None or self._rows >= self._segment_rows or batch.schema != self._schema:
            self._start(batch.schema)
        try:
            self._writer.write_batch(batch)
            self._file.flush()
        except OSError:
            self.close()  # what follows a torn batch could not be read: start anew with the next one
            raise
        self._rows += batch.num_rows

    def read(self) -> Iterator[pa.RecordBatch]:
        """All batches that are still held, oldest first."""
        for path in self._segments():
            yield from _batches(path)

    def close(self) -> None:
        """Ends the stream; the next append starts another."""
        with contextlib.suppress(OSError):
            self._close()
        self._writer = self._file = self._schema = None
        self._rows = 0

    def _start(self, schema: pa.Schema) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        held = self._segments()
        newer_rows = 0
        for path in reversed(held):
            if newer_rows >= self._capacity:
                path.unlink(missing_ok=True)
                self._counts.pop(path, None)
            else:
                newer_rows += self._count(path)
        number = int(held[-1].stem) + 1 if held else 0
        # Private: a decision holds the features of a person.
        path = self._folder / f"{number:012d}{SUFFIX}"
        path.touch(mode=0o600)
        self._file = path.open("wb")
        self._close = weakref.finalize(self, self._file.close)  # also when nobody calls close()
        self._writer = pa.ipc.new_stream(self._file, schema)
        self._schema = schema

    def _count(self, path: Path) -> int:
        """Rows of a finished stream."""
        if path not in self._counts:
            self._counts[path] = sum(batch.num_rows for batch in _batches(path))
        return self._counts[path]

    def _segments(self) -> list[Path]:
        return sorted(path for path in self._folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    # A stream may end in the middle of a batch, or before its schema.
    with contextlib.suppress(pa.ArrowInvalid, EOFError), path.open("rb") as file:
        yield from pa.ipc.open_stream(file)
