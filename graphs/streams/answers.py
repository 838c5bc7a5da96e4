"""Where a stream's answers go: each once, however often it is put. A port and its in-memory form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...runtime.errors import Fenced


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the event at `offset` of its source, whose id is `id`; `data` is JSON."""

    offset: int
    id: str
    data: bytes


class Answers(Protocol):
    """A stream that other programs read."""

    def come(self, source: str) -> int:
        """The offset up to which it has the source's answers, -1 for none."""

    def put(self, source: str, answers: Sequence[Answer], *, since: int, upto: int) -> None:
        """Adds the answers of all events beyond `since` up to `upto`, in their order, as far as it has them not yet.

        Raises `Fenced` where it has not even come to `since`: its server was started anew and has lost the rest.
        """

    def close(self) -> None:
        """Gives connections back."""


def lost(source: str) -> Fenced:
    """The error of who knows more of the answers than their server."""
    return Fenced(f"the server of the answers to {source} was started anew; its part is begun again")


class MemoryAnswers:
    """The same contract in one process's memory."""

    def __init__(self) -> None:
        self.put_so_far: list[Answer] = []
        self._come: dict[str, int] = {}

    def come(self, source: str) -> int:
        """The offset up to which it has the source's answers."""
        return self._come.get(source, -1)

    def put(self, source: str, answers: Sequence[Answer], *, since: int, upto: int) -> None:
        """Adds the answers that it has not yet."""
        come = self.come(source)
        if come < since:
            raise lost(source)
        self.put_so_far += [one for one in answers if one.offset > come]
        self._come[source] = max(come, upto)

    def close(self) -> None:
        """There is nothing to give back."""
