"""A queue as who runs the graph sees it: what waits, what was put aside, and how it gets another chance."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import polars as pl

from ...featurestore.events.log import DeadLetter
from ...featurestore.events.redis_leases import RedisLeases
from ...featurestore.events.redis_log import RedisLog
from ...runtime import redis_client
from ...runtime.settings import Settings
from ..flows.event_codec import EventCodec
from ..flows.log_handoff import EVENT, queue_name
from ..flows.redis_states import namespace_of
from ..flows.step_options import QueueRule
from .consumer import Status, status_of
from .log_feed import LogFeed

_LETTERS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue of a graph; each question opens a connection of its own."""

    graph: str
    queue: str
    rule: QueueRule
    settings: Settings

    def status(self) -> Status:
        """What waits, what was put aside, and who works on it."""
        with redis_client.connect(self.settings) as client:
            log = self._log(client)
            feed = LogFeed(log, EventCodec(()), name=self._name())
            return status_of(feed, RedisLeases(client, self.settings))

    def dead_letters(self, *, most: int = 100) -> list[DeadLetter]:
        """What was put aside, newest last, with the reason; `row` holds the event's id and body as JSON."""
        with redis_client.connect(self.settings) as client:
            return self._log(client).buried(most=most)

    def replay(self) -> int:
        """Queues what was put aside once more, as new events, and takes it from the dead letters; how many."""
        with redis_client.connect(self.settings) as client:
            log, done = self._log(client), 0
            for letter in log.buried(most=_LETTERS_AT_ONCE):
                packed = json.loads(letter.row).get("event")
                if packed is None or letter.place is None:
                    continue
                frame = pl.DataFrame({EVENT: pl.Series([base64.b64decode(packed)], dtype=pl.Binary)})
                log.append({letter.place[0]: frame}, token=f"replay:{letter.id}")
                log.forget([letter])
                done += 1
            return done

    def _name(self) -> str:
        return queue_name(namespace_of(self.settings), self.graph, self.queue)

    def _log(self, client: redis_client.Client) -> RedisLog:
        return RedisLog(client, self.settings, name=self._name(), partitions=self.rule.partitions)
