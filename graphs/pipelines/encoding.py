"""Values as bytes and back, each kind in a format that others can read too, pickle for the rest.

Read back is what was written: equal and of the same type. What a format would change (a tuple in JSON, a column of
mixed objects in Arrow) goes as a pickle.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from ...functions.calls.frames import kind_of

PICKLE = "pickle"
_JSON_PLAIN = (type(None), bool, int, float, str)


def encode(value: object) -> tuple[str, bytes | memoryview]:
    """The kind ("json", "polars", "arrow", "pandas", "npy", "pickle") and the bytes; raises what the pickler raises."""
    found = _WRITERS.get(kind_of(type(value)) or "", _json)(value)
    if found is not None:
        return found
    import cloudpickle

    return PICKLE, cloudpickle.dumps(value, protocol=5)


def decode(kind: str, data: bytes | memoryview) -> Any:
    """The value; a pickle's bytes must be known to be our own."""
    return _READERS[kind](data)


def described(value: object) -> str:
    """The value in a few words: its type, and its size or its text where that is short."""
    kind = type(value)
    name = (
        kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    )
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{name} {' x '.join(map(str, shape))}"
    if isinstance(value, _JSON_PLAIN):
        text = json.dumps(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"{name} of {len(value)}" if isinstance(value, list | tuple | dict | set | bytes) else name


def _json(value: Any) -> tuple[str, bytes] | None:
    try:
        if _is_json(value):
            return "json", json.dumps(value).encode()
    except RecursionError:  # deeper than Python goes, or a circle
        pass
    return None


def _is_json(value: Any) -> bool:
    """Whether JSON gives it back as it is: these very types, no subclasses, dicts by name."""
    kind = type(value)
    if kind is list:
        return all(_is_json(one) for one in value)
    if kind is dict:
        return all(type(key) is str for key in value) and all(_is_json(one) for one in value.values())
    return kind in _JSON_PLAIN


def _polars(value: Any) -> tuple[str, bytes] | None:
    import polars as pl

    # A column of Python objects has no Arrow form.
    if type(value) is not pl.DataFrame or any(_holds_objects(dtype) for dtype in value.schema.values()):
        return None
    target = io.BytesIO()
    value.write_ipc(target, compat_level=pl.CompatLevel.newest())
    return "polars", target.getvalue()


def _holds_objects(dtype: Any) -> bool:
    inner = getattr(dtype, "inner", None)
    fields = getattr(dtype, "fields", ())
    return (
        dtype.is_(_object())
        or (inner is not None and _holds_objects(inner))
        or any(_holds_objects(one.dtype) for one in fields)
    )


def _object() -> Any:
    import polars as pl

    return pl.Object()


def _arrow(value: Any) -> tuple[str, memoryview] | None:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    whole = value.combine_chunks()  # in which chunks a table came is no content
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    return "arrow", memoryview(sink.getvalue())


def _pandas(value: Any) -> tuple[str, memoryview] | None:
    import pandas as pd
    import pyarrow as pa

    if type(value) is not pd.DataFrame or value.attrs or not value.columns.is_unique or not _is_flat(value):
        return None
    try:
        table = pa.Table.from_pandas(value, preserve_index=True)
    except (pa.ArrowException, TypeError, ValueError):
        return None
    found = _arrow(table)
    return None if found is None else ("pandas", found[1])


def _is_flat(frame: Any) -> bool:
    """Numbers, times and texts come back from Arrow as they were; objects, and indexes of other kinds, may not."""
    import numpy as np
    import pandas as pd

    if not all(type(name) is str for name in frame.columns) or type(frame.index) is not pd.RangeIndex:
        return False
    if isinstance(frame.columns, pd.MultiIndex) or frame.columns.name is not None:
        return False
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, np.dtype):
            if column.dtype.kind not in "biufM":
                return False
        elif isinstance(column.dtype, pd.StringDtype):
            if column.dtype != pd.StringDtype(na_value=np.nan):
                return False
        elif not isinstance(column.dtype, pd.CategoricalDtype | pd.DatetimeTZDtype):
            return False
    return True


def _npy(value: Any) -> tuple[str, memoryview] | None:
    import numpy as np

    if type(value) is not np.ndarray or value.dtype.hasobject or value.dtype.metadata:
        return None
    target = io.BytesIO()
    np.save(target, value, allow_pickle=False)
    return "npy", target.getbuffer()


def _as_polars(data: bytes | memoryview) -> Any:
    import polars as pl

    return pl.read_ipc(io.BytesIO(data))


def _as_arrow(data: bytes | memoryview) -> Any:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return reader.read_all()


def _as_pandas(data: bytes | memoryview) -> Any:
    return _as_arrow(data).to_pandas()


def _as_npy(data: bytes | memoryview) -> Any:
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def _as_pickle(data: bytes | memoryview) -> Any:
    import cloudpickle

    return cloudpickle.loads(data)


_WRITERS: dict[str, Callable[[Any], tuple[str, bytes | memoryview] | None]] = {
    "polars.DataFrame": _polars,
    "pyarrow.Table": _arrow,
    "pandas.DataFrame": _pandas,
    "numpy.ndarray": _npy,
}
_READERS: dict[str, Callable[[bytes | memoryview], Any]] = {
    "json": lambda data: json.loads(bytes(data)),
    "polars": _as_polars,
    "arrow": _as_arrow,
    "pandas": _as_pandas,
    "npy": _as_npy,
    PICKLE: _as_pickle,
}
