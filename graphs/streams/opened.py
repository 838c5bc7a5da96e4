"""Opens what consumers need on the servers of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...featurestore.events.leases import Leases
from ...featurestore.events.redis_leases import RedisLeases
from ...featurestore.events.redis_log import RedisLog
from ...featurestore.sources.event_source import EventSource
from ...featurestore.sources.open_events import open_events
from ...runtime import redis_client
from ...runtime.errors import NotFoundError, did_you_mean
from ...runtime.settings import Settings
from ..flows.event_codec import EventCodec
from ..flows.log_handoff import queue_name
from ..flows.queue_cut import Tail, cut_at_queues
from ..flows.redis_states import namespace_of
from ..flows.step import Step
from .feed import Feed
from .log_feed import LogFeed
from .source_feed import SourceFeed

MOST_PARTS = 64  # of a source that may grow


class Opened(NamedTuple):
    """A feed, and the leases on its parts."""

    feed: Feed
    leases: Leases


def open_queue(settings: Settings, graph: str, steps: Sequence[Step], queue: str) -> Opened:
    """A queue of a graph; raises `NotFoundError`, `ServerUnavailable`."""
    rule = tail_of(steps, queue).rule
    client = redis_client.connect(settings, retries=redis_client.RESTART_RETRIES)
    name = queue_name(namespace_of(settings), graph, queue)
    log = RedisLog(client, settings, name=name, partitions=rule.partitions)
    feed = LogFeed(log, EventCodec(steps), name=name, close=client.close)
    return Opened(feed, RedisLeases(client, settings))


def tail_of(steps: Sequence[Step], queue: str) -> Tail:
    """The steps behind a queue; raises `NotFoundError`."""
    _, tails = cut_at_queues(steps)
    for tail in tails:
        if tail.name == queue:
            return tail
    raise NotFoundError(f"no queue {queue!r}{did_you_mean(queue, [tail.name for tail in tails])}")


def open_source(
    settings: Settings, graph: str, source: str | EventSource, *, schema: Mapping[str, str] | None = None
) -> Opened:
    """What other programs write, with the graph's place in it; raises `DefinitionError`, `ServerUnavailable`."""
    made = open_events(source, schema) if isinstance(source, str) else source
    client = redis_client.connect(settings, retries=redis_client.RESTART_RETRIES)
    # Braces place keys on a cluster, and a name may hold none.
    name = re.sub(r"[{}]", "_", f"{namespace_of(settings)}/graph/{graph}<{made.name}")
    partitions = 1 if made.name.startswith("redis") else MOST_PARTS
    ledger = RedisLog(client, settings, name=name, partitions=partitions)
    return Opened(SourceFeed(made, ledger, name=name, close=client.close), RedisLeases(client, settings))
