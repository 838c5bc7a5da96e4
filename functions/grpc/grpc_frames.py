"""The frames of gRPC inside an HTTP body: one byte that says "compressed", four of length, the message."""

from __future__ import annotations

from ..http.problem import Problem, Refused

_HEAD = 5
# "Timeout" of the protocol: at most eight digits and a unit.
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def framed(message: bytes) -> bytes:
    """The message as one frame."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def unframed(body: bytes) -> bytes:
    """The one message of a body; refused where there is none, more than one, or a compressed one."""
    if body[:1] == b"\1":
        raise Refused(Problem(501, "compressed messages are not read here: send them as they are"))
    if len(body) < _HEAD or int.from_bytes(body[1:_HEAD], "big") != len(body) - _HEAD:
        raise Refused(Problem(400, "the request is not one whole message; send one"))
    return body[_HEAD:]


class Unframer:
    """The messages of a body that comes in pieces."""

    def __init__(self) -> None:
        self._buffer = b""

    def take(self, piece: bytes) -> list[bytes]:
        """Those that are whole now."""
        self._buffer += piece
        found = []
        while len(self._buffer) >= _HEAD:
            end = _HEAD + int.from_bytes(self._buffer[1:_HEAD], "big")
            if len(self._buffer) < end:
                break
            found.append(unframed(self._buffer[:end]))
            self._buffer = self._buffer[end:]
        return found


def timeout_s(told: bytes) -> float | None:
    """The header grpc-timeout, like b"250m", in seconds; None for one that is not there or says nothing."""
    unit, digits = _UNITS_S.get(told[-1:]), told[:-1]
    if unit is None or not digits.isdigit() or len(digits) > 8:
        return None
    return int(digits) * unit


def escaped(text: str) -> bytes:
    """A text as the header grpc-message has it: what is no plain ASCII, and %, as %XX."""
    return b"".join(
        b"%c" % byte if 0x20 <= byte < 0x7F and byte != 0x25 else b"%%%02X" % byte for byte in text.encode()
    )
