"""A request on its way to another version of the service, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

Headers = Sequence[tuple[bytes, bytes]]
_STREAM = b"text/event-stream"
VERSION_HEADER = "x-eagleray-version"


class Unanswered(Exception):
    """The other version gave no answer of its own: not reached, gone in the middle, or out of replicas."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read whole; `path` is what comes after the service's own prefix, with its query."""

    method: str
    path: str
    headers: Headers
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and headers; the body comes in pieces, as they come (`Unanswered` when they stop coming)."""

    status: int
    headers: list[tuple[bytes, bytes]]
    pieces: AsyncIterator[bytes]

    @property
    def is_stream(self) -> bool:
        """True for events that come one by one."""
        return any(name == b"content-type" and value.startswith(_STREAM) for name, value in self.headers)

    async def body(self) -> bytes:
        """All pieces as one."""
        return b"".join([piece async for piece in self.pieces])
