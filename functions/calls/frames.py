"""Tables and arrays as arguments: how a value of a plain form (JSON, Arrow) becomes the type a function asks for.

Types are told by name, so that no library is imported that the function does not use itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

FRAMES = {"polars.DataFrame", "polars.LazyFrame", "polars.Series", "pandas.DataFrame", "pandas.Series", "pyarrow.Table"}
ARRAYS = {"numpy.ndarray"}


def kind_of(hint: Any) -> str | None:
    """Like "polars.DataFrame" for a hint that is a table or an array, else None."""
    origin = getattr(hint, "__origin__", hint)
    module = getattr(origin, "__module__", "").partition(".")[0]
    name = f"{module}.{getattr(origin, '__name__', '')}"
    return name if name in FRAMES or name in ARRAYS else None


def reader(kind: str) -> Callable[[Any], Any]:
    """What turns rows (a list of objects), columns (an object of lists), an Arrow table or the type itself into `kind`.

    It raises ValueError for anything else.
    """

    def read(value: Any) -> Any:
        if kind_of(type(value)) == kind:
            return value
        return _READERS[kind](value)

    return read


def plain(value: Any) -> Any:
    """A table or an array as JSON's own types (rows of a table; a list); any other value as it is."""
    kind = kind_of(type(value))
    if kind is None:
        return value
    if kind in ARRAYS or kind == "pandas.Series":
        return value.tolist()
    if kind == "polars.Series":
        return value.to_list()
    if kind == "pandas.DataFrame":
        return value.to_dict("records")
    return arrow(value).to_pylist()


def arrow(value: Any) -> Any:
    """Any table, rows or columns as a pyarrow.Table; raises ValueError for what is none."""
    import pyarrow as pa

    kind = kind_of(type(value))
    if kind == "pyarrow.Table":
        return value
    if kind == "polars.LazyFrame":
        return value.collect().to_arrow()
    if kind == "polars.DataFrame":
        return value.to_arrow()
    if kind == "pandas.DataFrame":
        return pa.Table.from_pandas(value, preserve_index=False)
    if isinstance(value, Mapping) and all(_is_list(column) for column in value.values()):
        return pa.table(dict(value))
    if _is_list(value) and all(isinstance(row, Mapping) for row in value):
        return pa.Table.from_pylist(list(value))
    raise ValueError("give rows (a list of objects), columns (an object of lists) or an Arrow table")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _polars_frame(value: Any) -> Any:
    import polars as pl

    return pl.DataFrame(pl.from_arrow(arrow(value)))


def _polars_lazy(value: Any) -> Any:
    return _polars_frame(value).lazy()


def _polars_series(value: Any) -> Any:
    import polars as pl

    return pl.Series(_listed(value))


def _pandas_frame(value: Any) -> Any:
    return arrow(value).to_pandas()


def _pandas_series(value: Any) -> Any:
    import pandas as pd

    return pd.Series(_listed(value))


def _array(value: Any) -> Any:
    import numpy as np

    found = np.asarray(_listed(value))
    if found.dtype == object:
        raise ValueError("give a list of numbers, its rows of one length")
    return found


def _listed(value: Any) -> Any:
    if not _is_list(value) and kind_of(type(value)) is None:
        raise ValueError("give a list")
    return plain(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "polars.DataFrame": _polars_frame,
    "polars.LazyFrame": _polars_lazy,
    "polars.Series": _polars_series,
    "pandas.DataFrame": _pandas_frame,
    "pandas.Series": _pandas_series,
    "pyarrow.Table": arrow,
    "numpy.ndarray": _array,
}
