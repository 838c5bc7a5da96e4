"""When to ask again, in the form of Google's error model, which many gRPC clients read by themselves."""

from __future__ import annotations

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2


def retry_details(code: int, message: str, *, retry_s: int) -> bytes:
    """A google.rpc.Status that holds a RetryInfo."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.seconds = retry_s
    packed = any_pb2.Any()
    packed.Pack(info)
    whole: bytes = status_pb2.Status(code=code, message=message, details=[packed]).SerializeToString()
    return whole
