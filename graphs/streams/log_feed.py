"""A queue's log as a feed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from ...featurestore.events.log import DeadLetter, EventLog
from ..flows.event import Event, Origin
from ..flows.event_codec import EventCodec
from ..flows.log_handoff import EVENT
from .feed import Taken


class LogFeed:
    """One part a partition; the log's checkpoint is the place, and what lies before it is dropped."""

    def __init__(
        self, log: EventLog, codec: EventCodec, *, name: str, close: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self._log = log
        self._codec = codec
        self._close = close
        self._at: dict[str, int] = {}
        self._runs: dict[str, str] = {}

    def parts(self) -> list[str]:
        """The partitions."""
        return [str(partition) for partition in range(self._log.partitions)]

    def begin(self, part: str) -> int:
        """Goes to the checkpoint."""
        partition = int(part)
        self._runs[part] = self._log.runs()[partition]
        self._at[part] = self._log.checkpoints()[partition]
        return self._at[part]

    def take(self, part: str, *, most: int) -> Taken | None:
        """The next batches of the partition."""
        partition, at = int(part), self._at[part]
        batches = self._log.read({partition: at}, events=most, runs={partition: self._runs[part]})
        if not batches:
            return None
        packed: list[bytes] = []
        origins, letters = [], []
        for batch in batches:
            if EVENT not in batch.frame.columns:
                reason, row = "no event of a graph", json.dumps({"columns": batch.frame.columns})
                letters.append(DeadLetter(reason, row, (partition, batch.first)))
                continue
            for offset, data in enumerate(batch.frame[EVENT].to_list(), batch.first):
                packed.append(data)
                origins.append(Origin(f"{self.name}:{part}", offset, at))
        return Taken(part, tuple(packed), tuple(origins), tuple(letters), batches[-1].last)

    def event(self, packed: bytes, origin: Origin) -> Event:
        """The event as it was queued."""
        event = self._codec.event(packed)
        event.origin = origin
        return event

    def done(self, taken: Taken, letters: Sequence[DeadLetter]) -> None:
        """Moves the checkpoint."""
        partition = int(taken.part)
        buried = [*taken.letters, *letters]
        if buried:
            self._log.bury(buried)
        self._log.advance({partition: taken.upto}, runs={partition: self._runs[taken.part]})
        self._at[taken.part] = taken.upto
        self._log.trim({partition: taken.upto})

    def place(self, part: str, offset: int) -> tuple[int, int]:
        """The partition and the offset."""
        return int(part), offset

    def waiting(self) -> int:
        """The events beyond the checkpoints."""
        checkpoints = self._log.checkpoints()
        return sum(max(0, end - checkpoints[partition]) for partition, end in self._log.ends().items())

    def buried(self, *, most: int) -> list[DeadLetter]:
        """What was put aside."""
        return self._log.buried(most=most)

    def buried_count(self) -> int:
        """How much was put aside."""
        return self._log.buried_count()

    def close(self) -> None:
        """Gives the connection back."""
        self._close()
