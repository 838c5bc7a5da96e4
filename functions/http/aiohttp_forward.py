"""Hands a request on to another version of the service, on connections that stay open."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from .forward import VERSION_HEADER, Answer, Request, Unanswered

# What belongs to one connection is not handed on (RFC 9110, 7.6.1), and the length is that of the body sent.
_OWN = frozenset(
    (b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host", b"content-length")
)


class Forwarder:
    """One connection pool; made in the loop that uses it."""

    def __init__(self, *, timeout_s: float = 30.0, connections: int = 64) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, connect=2.0, sock_read=timeout_s)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, request: Request) -> Answer:
        """The other version's answer once its head is there; raises `Unanswered` while nothing was answered."""
        session = self._session
        if session is None:
            connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30)
            session = self._session = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, auto_decompress=False, trust_env=False
            )
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.headers if k.lower() not in _OWN]
        try:
            response = await session.request(
                request.method, url + request.path, data=request.body, headers=headers, allow_redirects=False
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unanswered(f"{type(error).__name__}: {error}") from None
        own = VERSION_HEADER in response.headers  # else a proxy speaks, for a version that is not there
        if not own or response.status == 503:  # full: it has not worked on the request
            response.release()
            raise Unanswered(f"HTTP {response.status}")
        given = [(k.lower(), v) for k, v in response.raw_headers if k.lower() not in _OWN]
        return Answer(response.status, given, _pieces(response))

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with response:
        try:
            async for piece in response.content.iter_any():
                yield piece
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unanswered(f"{type(error).__name__}: {error}") from None
