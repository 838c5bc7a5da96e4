"""Tensors as events, and answers as tensors.

Inputs. Each tensor is a field of the events, its name the field's, row i of it event i's value: shape [n] or [n, 1]
gives a value an event, [n, k] a list (and so on for more axes). All tensors have the same n. BYTES are text (UTF-8);
with the parameter `content_type` "bytes" they stay bytes. NaN in a field of single numbers is null. A tensor called
"id" names the events; else the request's id does, with the place behind it when there are several. A graph that
predicts on the body's own fields also takes ONE tensor [n, features] of any other name, its columns in the order of the
model's features (the order of the metadata).

Outputs. Each field of the answers is a tensor of its name, an answer a row (an event that was dropped has none, a
flattened one has a row for each of its parts; `id` tells whose): `id` BYTES, `score` FP64, others by what
they hold. Whole numbers are INT64, true and false BOOL, other numbers FP64 (null is NaN), text BYTES (null is empty);
lists of numbers of one length are [n, k], and so are objects of numbers, whose keys are told in the output's parameter
`columns` (contributions by feature). Everything else is its JSON, as BYTES.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np
import orjson

from ...runtime.errors import did_you_mean
from ..flows.event import Batch
from .answers import Row, columns_of
from .row_event import row_batch
from .v2_tensors import OF_DTYPE, STORED, Tensor, refused

_SCALARS = frozenset((int, float, bool, type(None)))
_WRITE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def batch_of(
    inputs: Sequence[Tensor], request_id: str, *, features: tuple[str, ...] = (), is_first: bool = False
) -> Batch:
    """An event for each row, named by the request's id; refuses (400) tensors that do not belong together.

    `features` are those of a graph that takes them as one tensor, too; `is_first`: and gives them to its model at once.
    """
    sizes = {tensor.shape[:1] for tensor in inputs}
    if len(sizes) != 1 or not all(sizes):
        told = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in inputs)
        raise refused(f"all inputs must have the same number of rows, at least one: {told}")
    if sizes == {(0,)}:
        raise refused("the inputs have no rows; send at least one")
    names = [tensor.name for tensor in inputs]
    if len(set(names)) != len(names):
        raise refused(f"two inputs are called {next(name for name in names if names.count(name) > 1)!r}")
    if len(inputs) == 1 and features and len(inputs[0].shape) == 2 and inputs[0].name not in features:
        return _of_matrix(inputs[0], request_id, features, is_first=is_first)
    columns = [_column(tensor) for tensor in inputs]
    return Batch.of([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)], request_id)


def outputs(rows: Sequence[Row], wanted: Sequence[str] = ()) -> list[Tensor]:
    """A tensor for each field of the rows, or for those that are `wanted`; refuses (400) an unknown one."""
    columns = columns_of(rows)
    for name in wanted:
        if name not in columns:
            raise refused(f"no output {name!r}{did_you_mean(name, columns)}")
    return [_output(name, columns[name]) for name in wanted or columns]


def _of_matrix(tensor: Tensor, request_id: str, features: tuple[str, ...], *, is_first: bool) -> Batch:
    count, width = tensor.shape
    if width != len(features):
        raise refused(
            f"input {tensor.name!r} has {width} columns; the model takes {len(features)}: {', '.join(features)}"
        )
    if tensor.datatype == "BYTES":
        raise refused(f"input {tensor.name!r} is BYTES; the model takes numbers")
    rows = np.array(tensor.values, np.float64).reshape(count, width)
    return row_batch(rows, features, request_id, is_first=is_first)


def _column(tensor: Tensor) -> list[Any]:
    """A value an event."""
    values, shape = tensor.values, tensor.shape
    flat = len(shape) == 1 or shape[1:] == (1,)
    if tensor.datatype == "BYTES":
        texts = _texts(tensor)
        return texts if flat else list(np.array(texts, object).reshape(shape).tolist())
    if not flat:
        return list(tensor.array().reshape(shape).tolist())
    if not isinstance(values, np.ndarray):
        return list(values)
    found: list[Any] = values.tolist()
    if values.dtype.kind == "f":
        for place in np.flatnonzero(np.isnan(values)).tolist():
            found[place] = None
    return found


def _texts(tensor: Tensor) -> list[Any]:
    if tensor.is_bytes:
        return [value.encode() if isinstance(value, str) else value for value in tensor.values]
    try:
        return [value if isinstance(value, str) else value.decode() for value in tensor.values]
    except UnicodeDecodeError:
        raise refused(
            f"input {tensor.name!r} is no UTF-8 text; give it the parameter content_type 'bytes' to keep it as it is"
        ) from None


def _output(name: str, column: list[Any]) -> Tensor:
    kinds = set(map(type, column))
    size = (len(column),)
    if type(None) in kinds and any(issubclass(kind, np.generic) for kind in kinds):
        column = [value.item() if isinstance(value, np.generic) else value for value in column]
        kinds = set(map(type, column))
    if kinds <= _SCALARS and (kinds != {type(None)} or name == "score"):
        return _numbers(name, column, size, kinds)
    if kinds <= {str, bytes, type(None)}:
        return Tensor(name, "BYTES", size, ["" if value is None else value for value in column])
    if kinds == {dict}:
        found = _table(name, column)
    elif kinds == {list}:
        found = _nested(name, column)
    else:
        found = _stacked(name, column)
    return found or Tensor(name, "BYTES", size, [orjson.dumps(value, option=_WRITE) for value in column])


def _numbers(name: str, flat: list[Any], shape: tuple[int, ...], kinds: set[type]) -> Tensor:
    if kinds == {bool}:
        return Tensor(name, "BOOL", shape, np.array(flat, np.bool_))
    if kinds == {int}:
        for datatype in ("INT64", "UINT64"):
            with suppress(OverflowError):
                return Tensor(name, datatype, shape, np.array(flat, STORED[datatype]))
    return Tensor(name, "FP64", shape, np.array(flat, np.float64))


def _nested(name: str, column: list[Any]) -> Tensor | None:
    """Lists of one shape, of numbers or of text; None for others."""
    shape, flat = [len(column)], column
    kinds: set[Any] = {list}
    while kinds == {list}:
        sizes = set(map(len, flat))
        if len(sizes) > 1:
            return None
        shape += sizes
        flat = list(chain.from_iterable(flat))
        kinds = set(map(type, flat))
    if kinds == {str}:
        return Tensor(name, "BYTES", tuple(shape), flat)
    return _numbers(name, flat, tuple(shape), kinds) if kinds <= _SCALARS else None


def _stacked(name: str, column: list[Any]) -> Tensor | None:
    """Arrays of one shape, or numbers of numpy's; None for others."""
    if not all(isinstance(value, np.ndarray | np.generic) for value in column):
        return None
    if len({(value.shape, value.dtype) for value in column}) != 1:
        return None
    made = np.array(column)
    datatype = OF_DTYPE.get(made.dtype)
    return None if datatype is None else Tensor(name, datatype, made.shape, made.ravel())


def _table(name: str, column: list[dict[str, Any]]) -> Tensor | None:
    """Objects of the same keys with a number for each; None for others."""
    keys = tuple(column[0])
    if not keys or any(row.keys() != column[0].keys() for row in column):
        return None
    values = [[row[key] for key in keys] for row in column]
    if not _SCALARS.issuperset(map(type, chain.from_iterable(values))):
        return None
    try:
        made = np.array(values, np.float64)
    except OverflowError:
        return None
    return Tensor(name, "FP64", made.shape, made.ravel(), tuple(str(key) for key in keys))
