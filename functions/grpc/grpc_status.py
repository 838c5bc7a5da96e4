"""How a call ended, in gRPC's words: the code for an HTTP status, and the trailers that say it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

import orjson

from .grpc_frames import escaped

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, PERMISSION_DENIED = 0, 3, 4, 5, 7
RESOURCE_EXHAUSTED, ABORTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 8, 10, 12, 13, 14, 16
_CODES = {
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: NOT_FOUND,
    405: UNIMPLEMENTED,
    409: ABORTED,
    413: RESOURCE_EXHAUSTED,
    422: INVALID_ARGUMENT,
    429: RESOURCE_EXHAUSTED,
    501: UNIMPLEMENTED,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
    507: RESOURCE_EXHAUSTED,
}


@dataclass(frozen=True, slots=True)
class Status:
    """A code of gRPC and one line; `retry_s` is after how many seconds to ask again (0: not told)."""

    code: int
    message: str = ""
    retry_s: int = 0

    @classmethod
    def of(cls, http_status: int, body: bytes, *, retry_s: int = 0) -> Status:
        """What an HTTP answer means; `body` is its problem document, or anything.

        A service that is full says when to ask again; one that cannot reach what it needs is unavailable.
        """
        if http_status == 200:
            return cls(OK)
        code = RESOURCE_EXHAUSTED if http_status == 503 and retry_s else _CODES.get(http_status, INTERNAL)
        return cls(code, _detail(body) or f"HTTP {http_status}", retry_s)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """As trailers: the code and the line, and when to ask again in the three forms that clients look for."""
        found = [(b"grpc-status", b"%d" % self.code)]
        if self.message:
            found.append((b"grpc-message", escaped(self.message)))
        if self.retry_s:
            from .protobuf_details import retry_details

            details = b64encode(retry_details(self.code, self.message, retry_s=self.retry_s)).rstrip(b"=")
            found += (
                (b"retry-after", b"%d" % self.retry_s),
                (b"grpc-retry-pushback-ms", b"%d" % (self.retry_s * 1000)),
                (b"grpc-status-details-bin", details),
            )
        return found


def _detail(body: bytes) -> str:
    """A problem document (or an error of the inference protocol) in one line, with its step; others are not shown."""
    try:
        problem = orjson.loads(body)
        step = problem.get("step")
        if "error" in problem:
            return str(problem["error"])
        return f"{problem['detail']}{f' (step {step})' if step else ''}"
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return ""
