"""Calls a service over HTTP from Python, on connections that stay open."""

from __future__ import annotations

import http.client
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import orjson

from ...runtime.errors import DeploymentError, EaglerayError, InputError, NotFoundError, ServerUnavailable
from ...runtime.settings import Settings

TIMEOUT_S = 30.0
_RETRY_S = 0.05
_REPEATED_S = 2 * TIMEOUT_S  # what waited in vain for a first answer is asked once more
_UNMARKED: Mapping[str, str] = MappingProxyType({})
_GONE = (500, 502, 503)  # what proxies say when nobody was there to answer, or has gone while doing so


class Client:
    """One endpoint, for any number of threads: a request takes an idle connection or opens one.

    No proxy of the environment is ever asked. The first of `keys` is shown to the service, or else that of the
    environment (`EAGLERAY_API_KEYS`).
    """

    def __init__(self, url: str, *, keys: tuple[str, ...] = ()) -> None:
        self._keys = keys
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._path = parts.path.rstrip("/")
        self._idle: deque[http.client.HTTPConnection] = deque()

    @classmethod
    def of(cls, url: str, *, keys: tuple[str, ...] = ()) -> Client:
        """The client of this process for `url` and these keys."""
        return _client(url, keys)

    def post(self, route: str, body: Any, *, may_repeat: bool = False) -> Any:
        """The parsed answer; raises the error it stands for: `InputError`, `NotFoundError`, `ServerUnavailable`, ...

        With `may_repeat` it is asked again, for a minute, when the service's replica ended before it answered.
        """
        content = _json(body)
        status, data = self._repeated(route, content) if may_repeat else self._request("POST", route, content)
        if status == 200:
            return orjson.loads(data)
        raise _error(status, data)

    def events(self, route: str, body: Any) -> Iterator[Any]:
        """The values of a streamed answer, as they come; raises the error that the service ended it with."""
        connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_S)
        try:
            headers = {**self._headers(), "content-type": "application/json", "accept": "text/event-stream"}
            try:
                connection.request("POST", f"{self._path}{route}", _json(body), headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from None
            if response.status != 200:
                raise _error(response.status, response.read())
            is_error = False
            for line in response:
                if line.startswith(b"event: error"):
                    is_error = True
                elif line.startswith(b"data: "):
                    data = line[6:].strip()
                    if is_error:
                        raise _error(int(orjson.loads(data).get("status", 500)), data)
                    yield orjson.loads(data)
        finally:
            connection.close()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Returns when the endpoint answers; raises `DeploymentError`."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                status, _ = self._request("GET", "/ready", None)
            except ServerUnavailable:
                status = 0
            if status == 200:
                return
            if time.monotonic() > deadline:
                raise DeploymentError(f"{self._path} runs but does not answer after {timeout_s:g} s; see its log")
            time.sleep(_RETRY_S)

    def _repeated(self, route: str, content: bytes) -> tuple[int, bytes]:
        deadline = time.monotonic() + _REPEATED_S
        marked = {"idempotency-key": uuid.uuid4().hex}  # the proxy asks another replica by itself
        while True:
            try:
                status, data = self._request("POST", route, content, marked)
            except ServerUnavailable:
                if time.monotonic() > deadline:
                    raise
            else:
                if not _is_of_no_replica(status, data) or time.monotonic() > deadline:
                    return status, data
            time.sleep(_RETRY_S)

    def _request(
        self, method: str, route: str, body: bytes | None, marked: Mapping[str, str] = _UNMARKED
    ) -> tuple[int, bytes]:
        while True:
            connection, is_fresh = self._taken()
            try:
                headers = {**self._headers(), **marked, "content-type": "application/json"}
                connection.request(method, f"{self._path}{route}", body, headers)
                response = connection.getresponse()
                answer = response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # What lay idle may have been closed by the other side before it took anything: ask once more.
                if not is_fresh and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                    continue
                raise self._unreachable(error) from None
            except BaseException:
                connection.close()
                raise
            if response.will_close:
                connection.close()
            else:
                self._idle.append(connection)
            return answer

    def _headers(self) -> dict[str, str]:
        """The key, where there is one; the environment's is read anew each time, for keys change."""
        keys = self._keys or Settings.from_env().api_keys
        return {"authorization": f"Bearer {keys[0]}"} if keys else {}

    def _unreachable(self, error: Exception) -> ServerUnavailable:
        where = f"{self._address[0]}:{self._address[1]}{self._path}"
        return ServerUnavailable(f"{where} does not answer ({error!r}): is it deployed?")

    def _taken(self) -> tuple[http.client.HTTPConnection, bool]:
        try:
            return self._idle.pop(), False
        except IndexError:
            return http.client.HTTPConnection(*self._address, timeout=TIMEOUT_S), True

    def close(self) -> None:
        """Closes the idle connections; the client can still be used."""
        while self._idle:
            self._idle.pop().close()


def _is_of_no_replica(status: int, data: bytes) -> bool:
    """True for an error of a proxy's; a replica's own, a full one's too, has the request's id."""
    if status not in _GONE:
        return False
    try:
        return "request_id" not in orjson.loads(data)
    except (orjson.JSONDecodeError, TypeError):
        return True


def _json(body: Any) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


@cache
def _client(url: str, keys: tuple[str, ...]) -> Client:
    return Client(url, keys=keys)


def _error(status: int, data: bytes) -> EaglerayError:
    try:
        problem = orjson.loads(data)
        detail = f"{problem['detail']}{' (step ' + problem['step'] + ')' if problem.get('step') else ''}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        detail = data.decode(errors="replace").strip() or f"HTTP {status}"
    if status == 404:
        return NotFoundError(detail)
    if 400 <= status < 500:
        return InputError(detail)
    return ServerUnavailable(detail) if status == 503 else EaglerayError(detail)
