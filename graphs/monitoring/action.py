"""What to do when an alert fires: write a log line, call a web address, call a function."""

from __future__ import annotations

import json
import logging
import math
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ...runtime.errors import DefinitionError, EaglerayError, ServerUnavailable
from .alert import Firing

LOGGER = "eagleray.monitoring"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Notice:
    """What an action is told: which endpoint, when (microseconds), what fired."""

    endpoint: str
    at_us: int
    firings: tuple[Firing, ...]

    def to_json(self) -> dict[str, object]:
        """As JSON data; a figure that is not finite becomes null."""
        firings = [{k: _plain(v) for k, v in asdict(firing).items()} for firing in self.firings]
        return {"endpoint": self.endpoint, "at_us": self.at_us, "firings": firings}


@dataclass(frozen=True, slots=True)
class Failure:
    """An action that did not succeed."""

    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do; make one with `Action.log`, `Action.webhook` or `Action.call`."""

    name: str
    act: Callable[[Notice], object] = field(repr=False)

    @classmethod
    def log(cls) -> Action:
        """Writes a warning for each firing to the logger `eagleray.monitoring`."""
        return cls("log", _log)

    @classmethod
    def call(cls, function: Callable[[Notice], object]) -> Action:
        """Calls `function` with the notice."""
        return cls(f"call {getattr(function, '__name__', type(function).__name__)}", function)

    @classmethod
    def webhook(
        cls, url: str, *, headers_from_env: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
    ) -> Action:
        """Posts the notice as JSON; anything but a 2xx answer is a failure, and redirects are not followed.

        `headers_from_env` maps a header's name to the environment variable that holds its value (a token):
        it is read when the action runs, and is never kept or shown.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DefinitionError(
                f"cannot post to {parts.scheme or 'an address without scheme'}: give http(s)://HOST/PATH"
            )
        # The path and the query of such an address are often the secret itself.
        hook = _Webhook(url, parts.hostname, tuple((headers_from_env or {}).items()), timeout_s)
        return cls(f"webhook {parts.hostname}", hook)


def perform(actions: Sequence[Action], notice: Notice) -> tuple[Failure, ...]:
    """Runs every action, also after one has failed; the failures are given back and logged."""
    failures = []
    for action in actions:
        try:
            action.act(notice)
        except EaglerayError as error:
            failures.append(Failure(action.name, str(error)))
        except Exception as error:  # noqa: BLE001 - a user's function may fail in any way; watching must go on
            failures.append(Failure(action.name, f"{type(error).__name__}: {error}"))
    for failure in failures:
        logging.getLogger(LOGGER).error("action %s failed: %s", failure.action, failure.reason)
    return tuple(failures)


@dataclass(frozen=True, slots=True)
class _Webhook:
    url: str = field(repr=False)
    host: str
    headers_from_env: tuple[tuple[str, str], ...]
    timeout_s: float

    def __call__(self, notice: Notice) -> None:
        headers = {"Content-Type": "application/json"}
        for header, variable in self.headers_from_env:
            if not os.environ.get(variable):
                raise DefinitionError(f"the header {header} comes from {variable}, which is not set: set it")
            headers[header] = os.environ[variable]
        body = json.dumps(notice.to_json()).encode()
        request = urllib.request.Request(self.url, body, headers, method="POST")
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=self.timeout_s) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            with error:
                raise ServerUnavailable(
                    f"{self.host} answered {error.code}: check the webhook's address and token"
                ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerUnavailable(f"cannot post to {self.host} ({reason}): check that it is up") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the secret headers to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _log(notice: Notice) -> None:
    for firing in notice.firings:
        logging.getLogger(LOGGER).warning("%s: %s", notice.endpoint, firing.message)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
