"""Where events that nobody waits for come from: parts with ascending offsets, whose place is kept. A port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...featurestore.events.log import DeadLetter
from ..flows.event import Event, Origin


@dataclass(frozen=True, slots=True)
class Taken:
    """Events of one part, packed, with where each came from; `letters` are about what was no event. With all of them
    done, the part is done up to the offset `upto`."""

    part: str
    packed: tuple[bytes, ...]
    origins: tuple[Origin, ...]
    letters: tuple[DeadLetter, ...]
    upto: int


class Feed(Protocol):
    """Parts of which each has one taker at a time; what is not noted as done is given again to the next one."""

    @property
    def name(self) -> str:
        """What its places are kept under."""

    def parts(self) -> list[str]:
        """The names of its parts."""

    def begin(self, part: str) -> int:
        """Goes to where the part was left, for who has taken it over; the offset up to which it is done, or -1."""

    def take(self, part: str, *, most: int) -> Taken | None:
        """The next events, some `most` of them; None when there are none now. Raises `Fenced` where its server has
        been started anew, and may know less than this taker: begin again."""

    def event(self, packed: bytes, origin: Origin) -> Event:
        """One of the events, fresh."""

    def done(self, taken: Taken, letters: Sequence[DeadLetter]) -> None:
        """Puts these aside, once each, then notes that all of it is done. Raises as `take` does."""

    def place(self, part: str, offset: int) -> tuple[int, int]:
        """What a dead letter of that event has for its place."""

    def waiting(self) -> int:
        """How many events are not done yet; of a source that does not tell, as many as were counted."""

    def buried(self, *, most: int) -> list[DeadLetter]:
        """What was put aside, newest last."""

    def buried_count(self) -> int:
        """How much was put aside."""

    def close(self) -> None:
        """Gives connections back."""
