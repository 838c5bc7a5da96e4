"""Tables that go into a run or come out of it: what is noted of them, and their content as Parquet."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from ..calls.frames import FRAMES, arrow, kind_of
from .run import Table


def table_of(name: str, value: Any) -> Table | None:
    """What is noted of a table (Polars, pandas, Arrow); None for anything else. A lazy frame is not computed."""
    kind = kind_of(type(value))
    if kind not in FRAMES or kind.endswith(("Series", "LazyFrame")):
        return None
    found = arrow(value).combine_chunks()
    columns = {field.name: str(field.type) for field in found.schema}
    return Table(name, kind, found.num_rows, columns, hashlib.sha256(_stream(found)).hexdigest())


def parquet(value: Any) -> bytes:
    """A table as a Parquet file."""
    import pyarrow.parquet as pq

    target = io.BytesIO()
    pq.write_table(arrow(value), target)
    return target.getvalue()


def _stream(table: Any) -> Any:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    plain = table.replace_schema_metadata(None)  # where a frame came from is no content
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    return sink.getvalue()
