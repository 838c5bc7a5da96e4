"""Tables as Arrow IPC streams, the form in which they come in and go out over HTTP."""

from __future__ import annotations

from typing import Any

from ...runtime.errors import InputError
from ..calls.frames import arrow


def from_stream(body: bytes) -> Any:
    """The pyarrow.Table of a body; raises `InputError` where it is none."""
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(body) as stream:
            found = stream.read_all()
        found.validate(full=True)  # what comes from outside may point anywhere
        return found
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"the body is no Arrow IPC stream ({error}): send one, or JSON") from None


def to_stream(table: Any) -> bytes:
    """Any table, rows or columns as a body; raises `InputError` for what is none."""
    import pyarrow as pa

    try:
        found = arrow(table)
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"the answer is no table ({error}): ask for JSON") from None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, found.schema) as stream:
        stream.write_table(found)
    whole: bytes = sink.getvalue().to_pybytes()
    return whole
