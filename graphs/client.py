"""Calls a graph's endpoint over HTTP from Python, on connections that stay open."""

from __future__ import annotations

import http.client
import time
from collections import deque
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..runtime.errors import DeploymentError, EaglerayError, InputError, NotFoundError, ServerUnavailable

TIMEOUT_S = 30.0
_RETRY_S = 0.05


class Client:
    """One endpoint, for any number of threads: a request takes an idle connection or opens one.

    No proxy of the environment is ever asked.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._path = parts.path.rstrip("/")
        self._idle: deque[http.client.HTTPConnection] = deque()

    @classmethod
    def of(cls, url: str) -> Client:
        """The client of this process for `url`."""
        return _client(url)

    def post(self, route: str, body: Any) -> Any:
        """The parsed answer; raises the error it stands for: `InputError`, `NotFoundError`, `ServerUnavailable`, ..."""
        status, data = self._request("POST", route, orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))
        if status == 200:
            return orjson.loads(data)
        raise _error(status, data)

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

    def _request(self, method: str, route: str, body: bytes | None) -> tuple[int, bytes]:
        while True:
            connection, is_fresh = self._taken()
            try:
                connection.request(method, f"{self._path}{route}", body, {"content-type": "application/json"})
                response = connection.getresponse()
                answer = response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # What lay idle may have been closed by the other side before it took anything: ask once more.
                if not is_fresh and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                    continue
                where = f"{self._address[0]}:{self._address[1]}{self._path}"
                raise ServerUnavailable(f"{where} does not answer ({error!r}): is it deployed?") from None
            except BaseException:
                connection.close()
                raise
            if response.will_close:
                connection.close()
            else:
                self._idle.append(connection)
            return answer

    def _taken(self) -> tuple[http.client.HTTPConnection, bool]:
        try:
            return self._idle.pop(), False
        except IndexError:
            return http.client.HTTPConnection(*self._address, timeout=TIMEOUT_S), True

    def close(self) -> None:
        """Closes the idle connections; the client can still be used."""
        while self._idle:
            self._idle.pop().close()


@cache
def _client(url: str) -> Client:
    return Client(url)


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
