"""The types of ASGI 3, and what an application of ours may have beside its call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


# An extension of ours in the scope: a function that is given headers, which then follow the body after its last piece.
TRAILERS = "eagleray.trailers"


class AsgiApp(Protocol):
    """An ASGI 3 callable; in a replica it may have `in_flight()`, `configure(config)` and `close()`."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None: ...
