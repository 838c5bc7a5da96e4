"""Inferences as JSON, with the binary tensor extension: what is said to be binary lies behind the JSON, in order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from .inference import InferReply, InferRequest
from .v2_tensors import Tensor, checked, refused

_WRITE = orjson.OPT_SERIALIZE_NUMPY
_NO_PARAMETERS: dict[str, Any] = {}


def read_json(body: bytes, header_size: int | None = None) -> InferRequest:
    """The request; the first `header_size` bytes are JSON (None: all). Refuses (400) what is wrong with it."""
    if header_size is not None and header_size > len(body):
        raise refused(f"the header says {header_size} bytes of JSON; the body has {len(body)}")
    view = memoryview(body)
    told = _object("the request", _parsed(view if header_size is None else view[:header_size]))
    binary = _Binary(view[len(body) if header_size is None else header_size :])
    given = _list("inputs", told.get("inputs"))
    if not given:
        raise refused("the request has no inputs")
    inputs = [_input(_object("an input", one), binary) for one in given]
    binary.check_used()
    parameters = _object("parameters", told.get("parameters") or {})
    by_default = parameters.get("binary_data_output") is True
    wanted = [_object("an output", one) for one in _list("outputs", told.get("outputs") or [])]
    return InferRequest(
        inputs,
        id=_text("id", told.get("id") or ""),
        outputs=tuple(_output(one, by_default) for one in wanted),
        is_raw=by_default,
    )


def write_json(reply: InferReply, request: InferRequest) -> tuple[bytes, int | None]:
    """The body, and how much of it is JSON (None: all)."""
    is_binary = dict(request.outputs)
    parts: list[bytes] = []
    outputs = []
    for tensor in reply.outputs:
        told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        parameters: dict[str, Any] = {"columns": ",".join(tensor.columns)} if tensor.columns else {}
        if is_binary.get(tensor.name, request.is_raw):
            parts.append(tensor.as_bytes())
            parameters["binary_data_size"] = len(parts[-1])
        else:
            told["data"] = tensor.as_json()
        outputs.append(told | {"parameters": parameters} if parameters else told)
    head: dict[str, Any] = {"model_name": reply.model, "model_version": reply.version, "outputs": outputs}
    if reply.id:
        head["id"] = reply.id
    written = orjson.dumps(head, option=_WRITE)
    return (b"".join((written, *parts)), len(written)) if parts else (written, None)


class _Binary:
    """What lies behind the JSON, taken piece by piece."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._place = 0

    def take(self, name: str, size: Any) -> memoryview:
        if type(size) is not int or size < 0:
            raise refused(f"input {name!r}: binary_data_size {size!r} is no number of bytes")
        end = self._place + size
        if end > len(self._data):
            left = len(self._data) - self._place
            raise refused(f"input {name!r}: binary_data_size is {size}, {left} bytes are left behind the JSON")
        piece = self._data[self._place : end]
        self._place = end
        return piece

    def check_used(self) -> None:
        if self._place != len(self._data):
            raise refused(f"{len(self._data) - self._place} bytes behind the JSON belong to no input")


def _input(told: dict[str, Any], binary: _Binary) -> Tensor:
    name, datatype, shape = checked(told.get("name"), told.get("datatype"), _list("shape", told.get("shape")))
    given = told.get("parameters")
    parameters = _object("parameters", given) if given else _NO_PARAMETERS
    if "shared_memory_region" in parameters:
        raise refused(f"input {name!r}: no shared memory here; send the values")
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in told):
        raise refused(f"input {name!r}: give data, or binary_data_size and bytes behind the JSON, and one of them only")
    if size is None:
        made = Tensor.of_json(name, datatype, shape, data=told["data"])
    else:
        made = Tensor.of_bytes(name, datatype, shape, data=binary.take(name, size))
    return replace(made, is_bytes=True) if parameters.get("content_type") == "bytes" else made


def _output(told: dict[str, Any], by_default: bool) -> tuple[str, bool]:
    parameters = _object("parameters", told.get("parameters") or {})
    if parameters.get("shared_memory_region") or parameters.get("classification"):
        raise refused("outputs come as they are: neither into shared memory nor as classes")
    return _text("the name of an output", told.get("name")), parameters.get("binary_data", by_default) is True


def _parsed(data: memoryview) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise refused(f"the request is no JSON ({error}); NaN and infinity have to be sent as binary data") from None


def _object(what: str, value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise refused(f"{what} must be an object")
    return value


def _list(what: str, value: Any) -> list[Any]:
    if type(value) is not list:
        raise refused(f"{what} must be a list")
    return value


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise refused(f"{what} must be a text")
    return value
