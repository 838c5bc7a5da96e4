"""What gRPC tools ask every server: is it well (grpc.health.v1), and what does it offer (server reflection)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from ..http.forward import Request
from ..http.problem import Problem, Refused
from .grpc_rpc import Asked, Conversation, Rpc
from .grpc_status import NOT_FOUND, UNIMPLEMENTED
from .protobuf_schema import schema

# Both versions of the protocol have the same messages, but for their names.
_REFLECTION = ("grpc.reflection.v1", "grpc.reflection.v1alpha")


def introspection_rpcs() -> Mapping[str, Rpc | Conversation]:
    """The methods by path."""
    found: dict[str, Rpc | Conversation] = {
        f"/{name}.ServerReflection/ServerReflectionInfo": Conversation(reflected) for name in _REFLECTION
    }
    return found | {"/grpc.health.v1.Health/Check": Rpc(_health), "/grpc.health.v1.Health/Watch": Rpc(_no_watch)}


def _health(_message: bytes) -> Asked:
    well: Any = schema().message("grpc.health.v1.HealthCheckResponse")
    serving: bytes = well(status="SERVING").SerializeToString()
    return Asked(Request("GET", "/ready", (), b""), lambda _type, _body: serving)


def _no_watch(_message: bytes) -> Asked:
    raise Refused(Problem(501, "health is not watched here; ask Check again and again"))


def reflected(message: bytes) -> bytes:
    """The answer to one question about services, files and messages; an error is an answer, too."""
    made: Any = reflection_pb2
    try:
        asked = made.ServerReflectionRequest.FromString(message)
    except DecodeError:
        raise Refused(Problem(400, "the message is no ServerReflectionRequest")) from None
    kind = asked.WhichOneof("message_request")
    answer = made.ServerReflectionResponse(valid_host=asked.host, original_request=asked)
    if kind == "list_services":
        for name in (*schema().services, *(f"{one}.ServerReflection" for one in _REFLECTION)):
            answer.list_services_response.service.add(name=name)
        return _bytes(answer)
    finds = {
        "file_by_filename": schema().pool.FindFileByName,
        "file_containing_symbol": schema().pool.FindFileContainingSymbol,
    }
    error = answer.error_response
    if kind not in finds:
        error.error_code, error.error_message = UNIMPLEMENTED, "ask for services, files or symbols"
        return _bytes(answer)
    try:
        found = finds[kind](getattr(asked, kind))
    except KeyError:
        error.error_code, error.error_message = NOT_FOUND, f"no {getattr(asked, kind)!r} here"
        return _bytes(answer)
    answer.file_descriptor_response.file_descriptor_proto.extend(_with_imports(found, {}))
    return _bytes(answer)


def _with_imports(file: Any, seen: dict[str, bytes]) -> list[bytes]:
    """The file and all that it imports, the file first."""
    if file.name not in seen:
        seen[file.name] = file.serialized_pb or FileDescriptorProto(name=file.name).SerializeToString()
        for one in file.dependencies:
            _with_imports(one, seen)
    return list(seen.values())


def _bytes(message: Any) -> bytes:
    whole: bytes = message.SerializeToString()
    return whole
