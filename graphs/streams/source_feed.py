"""A stream that other programs write as a feed: they keep the events, a log of ours keeps the places."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgpack

from ...featurestore.events.log import DeadLetter, EventLog
from ...featurestore.sources.event_source import EventSource
from ...runtime.errors import InputError
from ..flows.event import Event, Origin
from .feed import Taken


class SourceFeed:
    """`ledger` is a log that no event is added to: its checkpoints are the positions, its dead letters ours."""

    def __init__(
        self, source: EventSource, ledger: EventLog, *, name: str, close: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self._source = source
        self._ledger = ledger
        self._close = close
        self._places = {part: place for place, part in enumerate(sorted(source.parts()))}
        if len(self._places) > ledger.partitions:
            raise InputError(f"{source.name} has {len(self._places)} parts; at most {ledger.partitions} are read")
        self._at: dict[str, int] = {}
        self._runs: dict[str, str] = {}

    def parts(self) -> list[str]:
        """The source's own."""
        return list(self._places)

    def begin(self, part: str) -> int:
        """Goes to the position that was noted."""
        place = self._places[part]
        self._runs[part] = self._ledger.runs()[place]
        self._at[part] = self._ledger.checkpoints()[place]
        return self._at[part]

    def take(self, part: str, *, most: int) -> Taken | None:
        """The next messages."""
        at, place = self._at[part], self._places[part]
        # It has no events; what is asked is whether its server still knows what this taker believes.
        self._ledger.read({place: at}, events=1, runs={place: self._runs[part]})
        fetched = self._source.fetch(part, at, most=most)
        if fetched is None:
            return None
        packed: tuple[bytes, ...] = tuple(msgpack.packb(row) for row in fetched.rows)
        origins = tuple(Origin(f"{self.name}:{part}", position, at) for position in fetched.positions.tolist())
        return Taken(part, packed, origins, fetched.letters, fetched.upto)

    def event(self, packed: bytes, origin: Origin) -> Event:
        """The message; its own "id" names it, else its position."""
        body = msgpack.unpackb(packed, strict_map_key=False)
        place = origin.source.removeprefix(f"{self.name}:")
        event = Event(body, str(body["id"]) if body.get("id") is not None else f"{place}-{origin.offset}")
        event.origin = origin
        return event

    def done(self, taken: Taken, letters: Sequence[DeadLetter]) -> None:
        """Notes the position."""
        place = self._places[taken.part]
        buried = [*taken.letters, *letters]
        if buried:
            self._ledger.bury(buried)
        self._ledger.advance({place: taken.upto}, runs={place: self._runs[taken.part]})
        self._at[taken.part] = taken.upto

    def place(self, part: str, offset: int) -> tuple[int, int]:
        """The part's number and the position."""
        return self._places[part], offset

    def waiting(self) -> int:
        """Messages beyond the positions, counted as far as the source lets us."""
        at = self._ledger.checkpoints()
        count = getattr(self._source, "waiting", None)
        return 0 if count is None else sum(int(count(part, at[place])) for part, place in self._places.items())

    def buried(self, *, most: int) -> list[DeadLetter]:
        """What was put aside."""
        return self._ledger.buried(most=most)

    def buried_count(self) -> int:
        """How much was put aside."""
        return self._ledger.buried_count()

    def close(self) -> None:
        """Gives connections back."""
        self._source.close()
        self._close()
