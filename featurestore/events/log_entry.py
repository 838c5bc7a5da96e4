"""What an entry of a stored log holds: a batch as Arrow IPC, after a line about the ingestion it belongs to if any."""

from __future__ import annotations

import io
import json

import polars as pl

from .log import Batch, Mark, Piece, held_rows

_LINE = b"{"  # no Arrow stream begins so


def packed(frame: pl.DataFrame, *, mark: Mark | None = None) -> bytes:
    """A frame as an entry; it follows the line when it belongs to an ingestion."""
    buffer = io.BytesIO()
    if mark is not None:
        buffer.write(json.dumps({"source": mark.source, "rows": mark.rows}).encode() + b"\n")
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


def packed_piece(piece: Piece) -> bytes:
    """A piece as an entry: its rows, or where they are staged."""
    if not isinstance(piece.held, str):
        return packed(piece.held, mark=piece.mark)
    line = {"source": piece.mark.source, "rows": piece.mark.rows, "staged": piece.held, "first": piece.first}
    return json.dumps(line).encode()


def batch_of(entry: bytes, *, place: tuple[int, int], events: int, partitions: int) -> Batch:
    """The batch at `place` (partition, first offset); raises `ValueError` when it has not so many events."""
    partition, first = place
    mark: Mark | None = None
    if entry.startswith(_LINE):
        head, _, entry = entry.partition(b"\n")
        line = json.loads(head)
        mark = Mark(line["source"], line["rows"])
        if "staged" in line:
            piece = Piece(mark, partition, line["first"], events, line["staged"])
            return Batch(partition, first, held_rows(piece, partitions), mark)
    frame = pl.read_ipc_stream(io.BytesIO(entry))
    if frame.height != events:
        raise ValueError(f"{frame.height} rows where {events} were announced")
    return Batch(partition, first, frame, mark)
