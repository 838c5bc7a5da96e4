"""Errors as HTTP answers: application/problem+json (RFC 9457) that names the step and never shows a stack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from ...runtime.errors import EaglerayError
from ...runtime.failure import place_of

CONTENT_TYPE = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One error answer: HTTP status, one line of detail, and the step it happened in ("" outside a step).

    `input` says what the step was given: fields and their types, no values. `allow` is the method that would do,
    `retry_s` after how many seconds to ask again.
    """

    status: int
    detail: str
    step: str = ""
    allow: str = ""
    retry_s: int = 0
    input: str = ""

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase

    def body(self, request_id: str) -> bytes:
        """The problem as JSON."""
        fields: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.step:
            fields["step"] = self.step
        if self.input:
            fields["input"] = self.input
        return orjson.dumps(fields | {"request_id": request_id})

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the status asks for besides the document."""
        found = []
        if self.allow:
            found.append((b"allow", self.allow.encode()))
        if self.retry_s:
            found.append((b"retry-after", str(self.retry_s).encode()))
        if self.status == 401:
            found.append((b"www-authenticate", b"Bearer"))
        return found


class Refused(Exception):
    """A request that cannot be worked on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem_of(error: Exception, step: str, input: str = "") -> Problem:  # noqa: A002 - the document's own word
    """What a client is told: eagleray's own errors in their words, a user's error with the line it came from."""
    if isinstance(error, EaglerayError):
        retry_s = math.ceil(getattr(error, "retry_after_s", 0))
        return Problem(error.http_status, _one_line(str(error)), step, retry_s=retry_s, input=input)
    where = place_of(error)
    said = _one_line(str(error)) or "no message"
    return Problem(500, f"{type(error).__name__}: {said}{f' ({where})' if where else ''}", step, input=input)


def _one_line(text: str) -> str:
    return " ".join(text.split())
