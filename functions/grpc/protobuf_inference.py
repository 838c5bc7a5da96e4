"""inference.GRPCInferenceService: the Open Inference Protocol V2 of gRPC as requests of its HTTP form.

Tensors are not looked at here: the message of an inference goes to the service as it is, and its answer is the reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from google.protobuf.message import DecodeError

from ...runtime.inference_server import server_metadata
from ..http.content_types import PROTOBUF
from ..http.forward import Request
from ..http.problem import Problem, Refused
from .grpc_rpc import Asked, Rpc
from .protobuf_schema import schema

INFERENCE_SERVICE = "inference.GRPCInferenceService"
_PART = re.compile(r"[\w.-]+", re.ASCII)


def inference_rpcs() -> Mapping[str, Rpc]:
    """The methods by path."""
    asks = {
        "ServerLive": _fixed("/health", "ServerLiveResponse", live=True),
        "ServerReady": _fixed("/ready", "ServerReadyResponse", ready=True),
        "ServerMetadata": _fixed("/health", "ServerMetadataResponse", **server_metadata()),
        "ModelReady": _ready,
        "ModelMetadata": _metadata,
        "ModelInfer": _infer,
    }
    return {f"/{INFERENCE_SERVICE}/{name}": Rpc(ask) for name, ask in asks.items()}


def _fixed(path: str, reply: str, **fields: object) -> Callable[[bytes], Asked]:
    """A method whose answer is known when `path` answers."""
    message = _bytes(_class(reply)(**fields))
    return lambda _: Asked(Request("GET", path, (), b""), lambda _type, _body: message)


def _ready(message: bytes) -> Asked:
    asked = _read("ModelReadyRequest", message)
    return _get(f"{_path(asked.name, asked.version)}/ready", lambda _: _class("ModelReadyResponse")(ready=True))


def _metadata(message: bytes) -> Asked:
    asked = _read("ModelMetadataRequest", message)
    return _get(_path(asked.name, asked.version), lambda told: _class("ModelMetadataResponse")(**told))


def _infer(message: bytes) -> Asked:
    asked = _read("ModelReadyRequest", message)  # its two fields are the first two here as well; nothing else is read
    path = f"{_path(asked.name, asked.version)}/infer"
    headers = ((b"content-type", PROTOBUF), (b"accept", PROTOBUF))
    return Asked(Request("POST", path, headers, message), lambda _type, body: body)


def _get(path: str, reply: Callable[[Any], Any]) -> Asked:
    return Asked(Request("GET", path, (), b""), lambda _, body: _bytes(reply(orjson.loads(body))))


def _path(name: str, version: str) -> str:
    for part in (name, version):
        if part and not _PART.fullmatch(part):
            raise Refused(Problem(400, f"{part!r} is no name or version of a model"))
    return f"/v2/models/{name}/versions/{version}" if version else f"/v2/models/{name}"


def _read(name: str, message: bytes) -> Any:
    try:
        return _class(name).FromString(message)
    except DecodeError:
        raise Refused(Problem(400, "the message cannot be read; compile inference.proto for the client")) from None


def _class(name: str) -> Any:
    return schema().message(f"inference.{name}")


def _bytes(message: Any) -> bytes:
    whole: bytes = message.SerializeToString()
    return whole
