"""Inferences as messages of protobuf, as gRPC brings them: raw contents, or values in the field of their datatype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from ...functions.grpc.protobuf_schema import schema
from .inference import InferReply, InferRequest
from .v2_tensors import STORED, Tensor, checked, refused

# The field of each datatype, and what it holds; FP16 and BF16 have none.
_FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@cache
def _classes() -> tuple[Any, Any]:
    return schema().message("inference.ModelInferRequest"), schema().message("inference.ModelInferResponse")


def read_message(message: bytes) -> InferRequest:
    """The request; refuses (400) what is wrong with it."""
    try:
        told = _classes()[0].FromString(message)
    except DecodeError:
        raise refused("the message is no inference.ModelInferRequest") from None
    raw = told.raw_input_contents
    if raw and len(raw) != len(told.inputs):
        raise refused(f"{len(raw)} raw contents for {len(told.inputs)} inputs; send one for each, or none")
    if not told.inputs:
        raise refused("the request has no inputs")
    inputs = []
    for place, one in enumerate(told.inputs):
        named = checked(one.name, one.datatype, one.shape)
        if "shared_memory_region" in one.parameters:
            raise refused(f"input {one.name!r}: no shared memory here; send the values")
        if not raw:
            made = _typed(one, named[2])
        elif one.HasField("contents"):
            raise refused(f"input {one.name!r} has contents beside raw ones; send one of them")
        else:
            made = Tensor.of_bytes(*named, data=raw[place])
        is_bytes = one.parameters["content_type"].string_param == "bytes" if one.parameters else False
        inputs.append(replace(made, is_bytes=True) if is_bytes else made)
    outputs = tuple((one.name, True) for one in told.outputs)
    return InferRequest(inputs, id=told.id, outputs=outputs, is_raw=bool(raw))


def write_message(reply: InferReply, request: InferRequest) -> bytes:
    """The answer: raw where the request was, and where a datatype has no field."""
    told = _classes()[1](model_name=reply.model, model_version=reply.version, id=reply.id)
    is_raw = request.is_raw or any(tensor.datatype not in _FIELDS for tensor in reply.outputs)
    for tensor in reply.outputs:
        one = told.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if tensor.columns:
            one.parameters["columns"].string_param = ",".join(tensor.columns)
        if is_raw:
            told.raw_output_contents.append(tensor.as_bytes())
        else:
            getattr(one.contents, _FIELDS[tensor.datatype]).extend(_plain(tensor))
    whole: bytes = told.SerializeToString()
    return whole


def _typed(one: Any, shape: tuple[int, ...]) -> Tensor:
    """An input whose values are in the message; refuses (400) those that stand in another datatype's field."""
    field = _FIELDS.get(one.datatype)
    if field is None:
        raise refused(f"input {one.name!r}: {one.datatype} has no typed contents; send raw_input_contents")
    for other, _ in one.contents.ListFields():
        if other.name != field:
            raise refused(f"input {one.name!r}: {one.datatype} belongs in {field}, not in {other.name}")
    values = getattr(one.contents, field)[:]
    if len(values) != np.prod(shape, dtype=np.int64):
        raise refused(f"input {one.name!r} has {len(values)} values; shape {list(shape)} needs another number")
    if one.datatype == "BYTES":
        return Tensor(one.name, one.datatype, shape, values)
    dtype = STORED[one.datatype]
    try:
        return Tensor(one.name, one.datatype, shape, np.array(values, dtype))
    except OverflowError:
        raise refused(f"input {one.name!r} holds a number beyond {one.datatype}") from None


def _plain(tensor: Tensor) -> list[Any]:
    if tensor.datatype != "BYTES":
        found: list[Any] = tensor.array().tolist()
        return found
    return [value.encode() if isinstance(value, str) else value for value in tensor.values]
