"""Event sources: streams that other programs write, read from a position on. A port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..events.log import DeadLetter


@dataclass(frozen=True, slots=True)
class Fetched:
    """Rows of one part of a source with the position of each, letters about messages that are no rows.

    `upto` is the position of the last message, whatever it was.
    """

    rows: list[dict[str, object]]
    positions: NDArray[np.int64]
    letters: tuple[DeadLetter, ...]
    upto: int


class EventSource(Protocol):
    """Parts with ascending positions; the same positions give the same messages for ever."""

    @property
    def name(self) -> str:
        """Where it is, without a password: positions are kept under it."""

    def parts(self) -> list[str]:
        """The names of its parts."""

    def fetch(self, part: str, after: int, *, most: int) -> Fetched | None:
        """The next messages beyond the position (-1: from the beginning), None when there are none now."""

    def close(self) -> None:
        """Gives connections back."""
