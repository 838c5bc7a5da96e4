"""Calls of other services over HTTP, from one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from ...runtime.errors import DefinitionError, InputError, ServerUnavailable

if TYPE_CHECKING:
    import aiohttp

MOST_CONNECTIONS = 100
_MOST_SAID = 300  # characters of another service's error


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """POSTs what a step reads, as JSON, to `url`; the JSON that comes back is the result."""

    url: str
    timeout_s: float = 10.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise DefinitionError(f"{self.url!r} is no address of a service: write http://... or https://...")


class RemoteService:
    """The connections to one service; they belong to the event loop that uses them first."""

    def __init__(self, call: RemoteCall) -> None:
        self._call = call
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, body: Any) -> Any:
        """The answer; raises `ServerUnavailable` (no answer, or 5xx), `InputError` (4xx) or `TimeoutError`."""
        import aiohttp

        call = self._call
        try:
            async with self._open().post(call.url, data=orjson.dumps(body)) as response:
                data = await response.read()
                if response.status >= 500:
                    raise ServerUnavailable(f"{call.url} answered {response.status}: {_said(data)}")
                if response.status >= 400:
                    raise InputError(f"{call.url} refused the request with {response.status}: {_said(data)}")
        except TimeoutError:
            raise TimeoutError(f"{call.url} gave no answer within {call.timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            raise ServerUnavailable(f"{call.url} cannot be reached: {error}") from None
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            raise ServerUnavailable(f"{call.url} answered with no JSON: {_said(data)}") from None

    def close(self) -> None:
        """Closes the connections."""
        if self._session is None or self._loop is None:
            return
        session, self._session = self._session, None
        if self._loop.is_running():
            self._loop.create_task(session.close())
        elif session.connector is not None:
            session.connector._close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._loop = asyncio.get_running_loop()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=self._call.timeout_s),
                headers={"content-type": "application/json", **self._call.headers},
            )
        return self._session


def _said(data: bytes) -> str:
    return " ".join(data[:_MOST_SAID].decode(errors="replace").split())
