"""What a gRPC method is here: a way to ask the service over HTTP, and a way to read its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..http.forward import Request

Reply = Callable[[bytes, bytes], bytes]
"""From the content type and body of an answer to the reply's message."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request message as the HTTP request it stands for (its headers are only those that say what the body is)."""

    request: Request
    reply: Reply


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method with one request; with `streams` an answer that comes in events is passed on as it comes.

    `ask` may raise `Refused`.
    """

    ask: Callable[[bytes], Asked]
    streams: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """A method with any number of requests, each of which has one reply."""

    answer: Callable[[bytes], bytes]
